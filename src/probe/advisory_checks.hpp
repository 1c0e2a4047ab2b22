#pragma once

#include <vector>

#include "probe/evidence.hpp"
#include "probe/report.hpp"

namespace sluice::probe {

/// What the trade looks at, and any relay can forge. Pure.
std::vector<check> advisory_checks(const evidence& found);

}  // namespace sluice::probe
