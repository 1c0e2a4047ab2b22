#pragma once

#include <vector>

#include "probe/evidence.hpp"
#include "probe/report.hpp"

namespace sluice::probe {

/// Checks by the claimed model's vocabulary: what is counted, and what answers are made of. Pure.
std::vector<check> token_checks(const evidence& found);

}  // namespace sluice::probe
