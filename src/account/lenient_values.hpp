#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "json/object.hpp"
#include "sluice/money.hpp"

namespace sluice::account {

/// Functions that read members of a relay's answer leniently. Relays write numbers as strings,
/// flags as numbers, and null for missing values. Each function returns nullopt if the member is
/// missing, null, or of another kind. Amounts are exact. Pure.

/// A JSON number, or a string that contains a number, with or without a minus. Also reads plain
/// numbers that are not amounts in dollars.
std::optional<usd> amount_of(const json_object& answer, std::string_view name);
/// The nearest integer.
std::optional<std::int64_t> integer_of(const json_object& answer, std::string_view name);
std::optional<bool> flag_of(const json_object& answer, std::string_view name);

/// Whether the object means a refusal, whatever its format and HTTP status: a non-empty `error`, or
/// `success` or `code` is false.
bool is_refusal(const json_object& answer);

}  // namespace sluice::account
