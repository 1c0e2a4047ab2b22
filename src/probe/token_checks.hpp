#pragma once

#include <vector>

#include "probe/evidence.hpp"
#include "probe/report.hpp"

namespace sluice::probe {

/// Checks that compare token counts and the tokens of answers with the claimed model's vocabulary.
/// Pure.
std::vector<check> token_checks(const evidence& found);

}  // namespace sluice::probe
