#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "json/object.hpp"
#include "money/decimal.hpp"
#include "sluice/money.hpp"

namespace sluice {

/// Fields of the documents that tell prices. Their numbers are read as text. Pure.

/// The text of a number, whether in quotes or not; nothing where the field is missing or null. Of a
/// field that is something else, the start of its JSON.
std::optional<std::string> number_text(const json_object& object, std::string_view name);

/// The number itself; nothing where number_text has none, or what is no number.
std::optional<decimal> number_field(const json_object& object, std::string_view name);

/// A whole number of tokens above zero; nothing where the field is none.
std::optional<std::int64_t> count_field(const json_object& object, std::string_view name);

/// The price unless a token may not cost so much.
std::optional<usd> sane_price(const std::optional<usd>& price);

}  // namespace sluice
