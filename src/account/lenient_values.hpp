#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "json/object.hpp"
#include "sluice/money.hpp"

namespace sluice::account {

/// Members of a relay's answer, read leniently: relays write numbers as strings, flags as numbers,
/// and null for what they leave out. Each is nothing where the member is missing, null, or
/// something else. Amounts lose no digit. Pure.

/// A number as JSON has it, or a string that holds one, with or without a minus. Also reads plain
/// numbers that are no amount of dollars.
std::optional<usd> amount_of(const json_object& answer, std::string_view name);
/// The nearest integer.
std::optional<std::int64_t> integer_of(const json_object& answer, std::string_view name);
std::optional<bool> flag_of(const json_object& answer, std::string_view name);

/// Whether the object says, in whatever way and with whatever status, that the question was
/// refused: `error` with something in it, `success` or `code` false.
bool is_refusal(const json_object& answer);

}  // namespace sluice::account
