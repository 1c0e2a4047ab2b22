#pragma once

#include "probe/evidence.hpp"
#include "probe/report.hpp"

namespace sluice::probe {

/// Runs all checks on the evidence, the strongest first. Pure.
report evaluate(const evidence& found);

}  // namespace sluice::probe
