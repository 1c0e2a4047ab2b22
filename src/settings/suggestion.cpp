#include "settings/suggestion.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/edit_distance.hpp"

namespace sluice::cli {

std::string did_you_mean(const std::string& word, const std::vector<std::string>& names) {
  const std::string* nearest = nullptr;
  const std::size_t letters = word.size() - std::min(word.find_first_not_of('-'), word.size());
  std::size_t least = std::max<std::size_t>((letters + 1) / 3, 1) + 1;
  for (const auto& name : names) {
    const std::size_t d = name.starts_with(word) ? 1 : edit_distance(word, name);
    if (d < least) {
      least = d;
      nearest = &name;
    }
  }
  return nearest != nullptr ? fmt::format("; did you mean '{}'?", *nearest) : std::string();
}

}  // namespace sluice::cli
