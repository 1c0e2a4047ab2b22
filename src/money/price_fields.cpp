#include "money/price_fields.hpp"

#include "json/text.hpp"

namespace sluice {

std::string number_text(std::string_view value) {
  constexpr std::size_t enough = 80;  // bytes; every real number is shorter
  auto text = json_string(value).value_or(std::string(value));
  if (text.size() > enough) text = std::string(utf8_prefix(text, enough)) + "…";
  return text;
}

std::optional<std::string> number_text(const json_object& object, std::string_view name) {
  if (!object.has_value(name)) return std::nullopt;
  return number_text(object.value(name));
}

std::optional<decimal> number_field(const json_object& object, std::string_view name) {
  const auto text = number_text(object, name);
  return text ? parse_json_number(*text) : std::nullopt;
}

std::optional<std::int64_t> count_field(const json_object& object, std::string_view name) {
  constexpr std::int64_t most = 1'000'000'000'000;
  auto number = number_field(object, name);
  if (!number || number->exponent < 0 || number->digits == 0) return std::nullopt;
  for (; number->exponent > 0; --number->exponent) {
    if (number->digits > most) return std::nullopt;
    number->digits *= 10;
  }
  if (number->digits > most) return std::nullopt;
  return static_cast<std::int64_t>(number->digits);
}

std::optional<rate_factor> factor_in(std::optional<decimal> number) {
  constexpr usd::units most_digits = 1'000'000;
  if (!number || number->cut || number->digits == 0 || number->digits > most_digits ||
      number->exponent > 0) {
    return std::nullopt;
  }
  return rate_factor(static_cast<std::int64_t>(number->digits), number->exponent);
}

bool is_exact_for(model_prices prices, rate_factor factor) {
  bool exact = true;
  prices.each_rates([&](const token_rates& rates) {
    for (std::size_t i = 0; i < token_kinds; ++i) {
      const auto& rate = rates[static_cast<token_kind>(i)];
      if (!rate) continue;
      usd::units product = rate->count() * factor.first;
      for (int down = factor.second; down < 0; ++down, product /= 10) {
        exact = exact && product % 10 == 0;
      }
    }
  });
  return exact;
}

std::optional<usd> sane_price(const std::optional<usd>& price) {
  return price && *price <= price_table::dearest_token ? price : std::nullopt;
}

}  // namespace sluice
