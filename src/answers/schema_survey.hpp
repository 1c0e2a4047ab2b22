#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace sluice::answers {

/// Prepares a schema for valijson: gives the keywords of
/// schema_keywords.hpp their own names, and removes `$schema`. Returns
/// in a few words why the schema cannot be used: it has keywords that valijson would ignore, so
/// that a wrong answer would be accepted, or it refers to itself endlessly. nullopt: it can be
/// used. Pure.
std::optional<std::string> prepare_schema(nlohmann::json& schema);

}  // namespace sluice::answers
