#pragma once

#include <vector>

#include "probe/evidence.hpp"
#include "probe/report.hpp"

namespace sluice::probe {

/// Checks that buyers of keys commonly make, although any relay can forge their results. Pure.
std::vector<check> advisory_checks(const evidence& found);

}  // namespace sluice::probe
