#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace sluice::answers {

/// Keywords of a schema that this program checks itself, under names that valijson does not know.
/// valijson matches `pattern` and `format` with std::regex, whose time and stack grow without a
/// bound.
inline constexpr const char* own_pattern = "x-sluice-pattern";
inline constexpr const char* own_format = "x-sluice-format";

/// Prepares a schema for valijson: renames `pattern` and `format`, and takes `$schema` out. Why the
/// schema cannot be used, in a few words: it has keywords that valijson would pass over, so that a
/// wrong answer would be accepted, or it refers to itself without an end. Nothing: it can. Pure.
std::optional<std::string> prepare_schema(nlohmann::json& schema);

}  // namespace sluice::answers
