#pragma once

#include <vector>

#include "probe/evidence.hpp"
#include "probe/report.hpp"

namespace sluice::probe {

/// Checks how the relay handles requests: limits, streams, tools, stop sequences. Pure.
std::vector<check> behaviour_checks(const evidence& found);

}  // namespace sluice::probe
