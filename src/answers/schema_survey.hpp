#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace sluice::answers {

/// Keywords of a schema that this program checks itself. They get names that valijson does not
/// know, because valijson matches `pattern` and `format` with std::regex, whose time and stack use
/// have no bound.
inline constexpr const char* own_pattern = "x-sluice-pattern";
inline constexpr const char* own_format = "x-sluice-format";

/// Prepares a schema for valijson: renames `pattern` and `format`, and removes `$schema`. Returns
/// in a few words why the schema cannot be used: it has keywords that valijson would ignore, so
/// that a wrong answer would be accepted, or it refers to itself endlessly. nullopt: it can be
/// used. Pure.
std::optional<std::string> prepare_schema(nlohmann::json& schema);

}  // namespace sluice::answers
