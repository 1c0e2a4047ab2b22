#include "settings/suggestion.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace sluice::cli {
namespace {

// The number of letters to change, add, drop or swap with their neighbour (Damerau's distance,
// where each place changes once).
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> rows(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  std::iota(rows[0].begin(), rows[0].end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    rows[i][0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      rows[i][j] = std::min({changed, rows[i][j - 1] + 1, rows[i - 1][j] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
      }
    }
  }
  return rows[a.size()][b.size()];
}

}  // namespace

std::string did_you_mean(const std::string& word, const std::vector<std::string>& names) {
  const std::string* nearest = nullptr;
  const std::size_t letters = word.size() - std::min(word.find_first_not_of('-'), word.size());
  std::size_t least = std::max<std::size_t>((letters + 1) / 3, 1) + 1;
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
