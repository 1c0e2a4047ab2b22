#include "views/fitted_line.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>

#include "base/display_width.hpp"

namespace sluice::cli {
namespace {

// Parts with at least this weight are shortened before any of them is left out.
constexpr unsigned heavy_weight = 80;

std::size_t width_of(const std::vector<fitted_line::part>& parts) {
  std::size_t cells = 0;
  bool first = true;
  for (const auto& one : parts) {
    if (one.text.empty()) continue;
    cells += display_width(one.text) + (first ? 0 : display_width(one.before));
    first = false;
  }
  return cells;
}

}  // namespace

std::string toned(const std::string& text, tone meaning, const line_form& form) {
  if (!form.colour || meaning == tone::plain) return text;
  return (meaning == tone::bad ? "\x1b[31m" : "\x1b[33m") + text + "\x1b[0m";
}

std::string fitted_line::in(const line_form& form) const {
  auto kept = parts_;
  std::vector<std::size_t> by_weight(kept.size());
  std::iota(by_weight.begin(), by_weight.end(), std::size_t{0});
  std::stable_sort(by_weight.begin(), by_weight.end(),
                   [&](auto a, auto b) { return kept[a].weight < kept[b].weight; });
  const auto fits = [&] { return form.columns == 0 || width_of(kept) <= form.columns; };
  const auto shorten = [](part& one) {
    if (!one.brief.empty()) one.text = one.brief;
  };
  const auto heavy = std::find_if(by_weight.begin(), by_weight.end(),
                                  [&](auto place) { return kept[place].weight >= heavy_weight; });
  for (auto place = by_weight.begin(); place != heavy && !fits(); ++place) {
    shorten(kept[*place]);
    if (!fits()) kept[*place].text.clear();
  }
  for (auto place = heavy; place != by_weight.end() && !fits(); ++place) shorten(kept[*place]);
  for (auto place = heavy; place != by_weight.end() && !fits(); ++place) {
    if (std::next(place) != by_weight.end()) kept[*place].text.clear();
  }
  std::string line;
  for (const auto& one : kept) {
    if (one.text.empty()) continue;
    if (!line.empty()) line += one.before;
    line += toned(one.text, one.meaning, form);
  }
  return line;
}

}  // namespace sluice::cli
