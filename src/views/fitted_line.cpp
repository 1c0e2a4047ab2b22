#include "views/fitted_line.hpp"

#include <algorithm>
#include <numeric>

#include "base/display_width.hpp"

namespace sluice::cli {
namespace {

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
  for (std::size_t i = 0; i < by_weight.size() && !fits(); ++i) {
    auto& least = kept[by_weight[i]];
    if (!least.brief.empty()) least.text = least.brief;
    if (!fits() && i + 1 < by_weight.size()) least.text.clear();
  }
  // A heavy part that became short may have made room for another one.
  for (auto place = by_weight.rbegin(); place != by_weight.rend(); ++place) {
    auto& one = kept[*place];
    const auto& full = parts_[*place];
    if (!one.text.empty() || full.text.empty()) continue;
    one.text = full.brief.empty() ? full.text : full.brief;
    if (fits()) continue;
    one.text.clear();
    break;
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
