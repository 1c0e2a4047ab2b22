#include "views/shown_amount.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

namespace sluice::cli {

std::string shown_amount(usd amount) {
  const std::string digits = amount.to_string();
  std::string_view whole = digits;
  const bool negative = whole.starts_with('-');
  if (negative) whole.remove_prefix(1);
  const std::size_t point = std::min(whole.find('.'), whole.size());
  const std::string_view decimals = whole.substr(std::min(point + 1, whole.size()));
  whole = whole.substr(0, point);
  constexpr std::size_t group = 3;
  std::string grouped;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    if (at > 0 && (whole.size() - at) % group == 0) grouped += ',';
    grouped += whole[at];
  }
  return fmt::format("{}${}.{:0<2}", negative ? "-" : "", grouped, decimals);
}

nlohmann::ordered_json amount_json(const std::optional<usd>& amount) {
  return amount ? nlohmann::ordered_json(amount->to_string()) : nlohmann::ordered_json(nullptr);
}

}  // namespace sluice::cli
