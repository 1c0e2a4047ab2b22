#pragma once

#include <vector>

#include "probe/evidence.hpp"
#include "probe/report.hpp"

namespace sluice::probe {

/// Whether the tokens of the model can be counted: its vocabulary is public, and this program has
/// it.
bool identity_is_testable(const claim& sold);

/// Checks that compare token counts and the tokens of answers with the claimed model's vocabulary.
/// Pure.
std::vector<check> token_checks(const evidence& found);

}  // namespace sluice::probe
