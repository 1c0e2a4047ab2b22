#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "json/json_members.hpp"
#include "sluice/money.hpp"

namespace sluice::account {

/// A JSON object of a relay's answer, its values kept as text: amounts lose no digit. Relays write
/// numbers as strings, flags as numbers, and null for what they leave out; each value is read as
/// what it is asked for. A view of the text, which outlives it. Pure.
class answer_object {
 public:
  /// Nothing when the text is no JSON object.
  static std::optional<answer_object> parse(std::string_view text);
  /// Of a value cut out of valid JSON.
  static std::optional<answer_object> of_value(std::string_view value);

  // Each is nothing where the member is missing, null, or something else.
  std::optional<std::string_view> value(std::string_view name) const;  ///< any, as JSON
  std::optional<std::string> text(std::string_view name) const;
  std::optional<usd> amount(std::string_view name) const;
  std::optional<std::int64_t> integer(std::string_view name) const;  ///< the nearest one
  std::optional<bool> flag(std::string_view name) const;
  std::optional<answer_object> object(std::string_view name) const;
  std::optional<std::vector<std::string_view>> list(std::string_view name) const;

 private:
  explicit answer_object(std::vector<json_member> members) : members_(std::move(members)) {}

  std::vector<json_member> members_;
};

/// A number as JSON has it, or a string that holds one, with or without a minus; a plain number
/// that is no amount of dollars is read by it, too. Nothing when it is none.
std::optional<usd> read_amount(std::string_view json);

/// Whether the object says, in whatever way and with whatever status, that the question was
/// refused: `error` with something in it, `success` or `code` false.
bool is_refusal(const answer_object& answer);

}  // namespace sluice::account
