#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace valijson {
class SchemaParser;
}

namespace sluice::answers {

/// Keywords of a schema that this program checks itself, under names that valijson does not know.
/// valijson matches `pattern` and `format` with std::regex, whose time and stack use have no bound;
/// keeps an error for every pair of equal items for `uniqueItems`; takes 10.7 for a multiple of 5;
/// and rounds the bounds of numbers.
inline constexpr const char* own_pattern = "x-sluice-pattern";
inline constexpr const char* own_format = "x-sluice-format";
inline constexpr const char* own_unique_items = "x-sluice-unique-items";
inline constexpr const char* own_multiple_of = "x-sluice-multiple-of";
inline constexpr const char* own_minimum = "x-sluice-minimum";
inline constexpr const char* own_maximum = "x-sluice-maximum";
inline constexpr const char* own_exclusive_minimum = "x-sluice-exclusive-minimum";
inline constexpr const char* own_exclusive_maximum = "x-sluice-exclusive-maximum";

/// Why the value of multipleOf cannot be used, in a clause for "has a multipleOf ...". nullopt: it
/// can be used.
std::optional<std::string> divisor_fault(const nlohmann::json& value);

/// The parser owns what is added. It must read documents of read_exact_json.
void add_own_keywords(valijson::SchemaParser& parser);

}  // namespace sluice::answers
