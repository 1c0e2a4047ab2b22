#pragma once

#include <string>
#include <vector>

namespace sluice::cli {

/// "; did you mean '…'?" with the name that is most similar to the word; empty if none is similar.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& names);

}  // namespace sluice::cli
