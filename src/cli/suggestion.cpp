#include "cli/suggestion.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace sluice::cli {
namespace {

// Levenshtein's distance.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, diagonal + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string did_you_mean(const std::string& word, const std::vector<std::string>& names) {
  const std::string* nearest = nullptr;
  std::size_t least = std::max<std::size_t>((word.size() + 1) / 3, 1) + 1;
  for (const auto& name : names) {
    const std::size_t d = name.starts_with(word) ? 1 : distance(word, name);
    if (d < least) {
      least = d;
      nearest = &name;
    }
  }
  return nearest != nullptr ? fmt::format("; did you mean '{}'?", *nearest) : std::string();
}

}  // namespace sluice::cli
