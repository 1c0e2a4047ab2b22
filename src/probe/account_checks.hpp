#pragma once

#include <vector>

#include "probe/evidence.hpp"
#include "probe/report.hpp"

namespace sluice::probe {

/// Checks based on the key's balance and on the relay's usage log. Pure.
std::vector<check> account_checks(const evidence& found);

}  // namespace sluice::probe
