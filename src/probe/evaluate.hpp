#pragma once

#include "probe/evidence.hpp"
#include "probe/report.hpp"

namespace sluice::probe {

/// What the evidence says, the strongest checks first. Pure.
report evaluate(const evidence& found);

}  // namespace sluice::probe
