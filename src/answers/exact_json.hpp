#pragma once

#include <compare>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "answers/exact_number.hpp"

namespace sluice::answers {

/// JSON documents whose numbers are exact: a number that neither an integer type nor a double holds
/// exactly is a binary value with its text. Only the functions below read such numbers.

/// Which numbers are integers.
enum class integers {
  by_value,  ///< 5, 5.0 and 5e0, as in draft 6 and later drafts
  by_form,   ///< numbers without a fraction and an exponent, as in draft 4
};

/// Nothing if `text` is not JSON, or has a number beyond the range of doubles.
std::optional<nlohmann::json> read_exact_json(std::string_view text, integers rule);

bool is_number(const nlohmann::json& value);
/// For a value with is_number.
bool is_integer(const nlohmann::json& value);
double rounded(const nlohmann::json& number);
std::string number_text(const nlohmann::json& number);
exact_number exactly(const nlohmann::json& number);
/// The name of the type in a schema.
std::string_view type_name(const nlohmann::json& value);

/// A total order. Values are equal as in JSON Schema: 1 and 1.0 are, and the order of the members
/// of an object does not count.
std::strong_ordering order(const nlohmann::json& left, const nlohmann::json& right);

}  // namespace sluice::answers
