#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "json/object.hpp"
#include "money/decimal.hpp"
#include "sluice/money.hpp"
#include "sluice/prices.hpp"

namespace sluice {

/// Fields of the documents that contain prices. Their numbers are read as text. Pure.

/// The text of a number, which may have quotes in the JSON. If the value is something else, the
/// beginning of its JSON.
std::string number_text(std::string_view value);
/// The same for a field; nothing if it is missing or null.
std::optional<std::string> number_text(const json_object& object, std::string_view name);

/// The number itself; nothing if the field is missing, null or not a number.
std::optional<decimal> number_field(const json_object& object, std::string_view name);

/// A whole number of tokens above zero; nothing if the field is not such a number.
std::optional<std::int64_t> count_field(const json_object& object, std::string_view name);

/// The number as a factor on rates; nothing if it is zero, or has too many digits or an exponent.
std::optional<rate_factor> factor_in(std::optional<decimal> number);

/// Whether the products of the factor and all rates are exact.
bool is_exact_for(model_prices prices, rate_factor factor);

/// The price; nothing if it is too high for a token.
std::optional<usd> sane_price(const std::optional<usd>& price);

}  // namespace sluice
