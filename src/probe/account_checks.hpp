#pragma once

#include <vector>

#include "probe/evidence.hpp"
#include "probe/report.hpp"

namespace sluice::probe {

/// Checks by the relay's own books: what was billed, and what its log says was served. Pure.
std::vector<check> account_checks(const evidence& found);

}  // namespace sluice::probe
