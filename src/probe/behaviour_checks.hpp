#pragma once

#include <vector>

#include "probe/evidence.hpp"
#include "probe/report.hpp"

namespace sluice::probe {

/// Checks of what the relay does with a request: limits, streams, tools. Pure.
std::vector<check> behaviour_checks(const evidence& found);

}  // namespace sluice::probe
