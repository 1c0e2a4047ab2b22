#pragma once

#include <string>
#include <vector>

namespace sluice::cli {

/// "; did you mean '…'?" with the name that is nearest to the word; empty when none is near.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& names);

}  // namespace sluice::cli
