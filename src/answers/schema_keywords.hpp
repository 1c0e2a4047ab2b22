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
/// keeps an error for every pair of equal items for `uniqueItems`; and takes 10.7 for a multiple
/// of 5.
inline constexpr const char* own_pattern = "x-sluice-pattern";
inline constexpr const char* own_format = "x-sluice-format";
inline constexpr const char* own_unique_items = "x-sluice-unique-items";
inline constexpr const char* own_multiple_of = "x-sluice-multiple-of";

/// Why the value of multipleOf cannot be used, in a clause for "has a multipleOf ...". nullopt: it
/// can be used.
std::optional<std::string> divisor_fault(const nlohmann::json& value);

/// The parser owns what is added. It must read documents of read_exact_json.
void add_own_keywords(valijson::SchemaParser& parser);

}  // namespace sluice::answers
