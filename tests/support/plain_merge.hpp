#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokens/tokenizer.hpp"

namespace sluice::test {

/// The tokens of a piece, by the same simple algorithm as tiktoken: merge the leftmost pair with
/// the lowest rank until no pair is left.
inline std::vector<tokenizer::rank> plain_merge(const tokenizer& known, std::string_view piece) {
  constexpr auto none = std::numeric_limits<tokenizer::rank>::max();
  std::vector<std::string> parts;
  for (const char byte : piece) parts.emplace_back(1, byte);
  for (;;) {
    std::pair<tokenizer::rank, std::size_t> best{none, 0};
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      if (const auto rank = known.rank_of(parts[i] + parts[i + 1])) {
        best = std::min(best, {*rank, i});
      }
    }
    if (best.first == none) break;
    parts[best.second] += parts[best.second + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best.second) + 1);
  }
  std::vector<tokenizer::rank> tokens;
  tokens.reserve(parts.size());
  for (const std::string& part : parts) tokens.push_back(known.rank_of(part).value());
  return tokens;
}

}  // namespace sluice::test
