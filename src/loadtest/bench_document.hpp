#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/resampling.hpp"

// Parts of a document of `sluice bench --json`. Any member of it may be missing or null. Pure.
namespace sluice::bench {

/// The member; null if it is missing.
const nlohmann::ordered_json& member(const nlohmann::ordered_json& of, const char* name);
std::optional<double> number(const nlohmann::ordered_json& of, const char* name);
std::string text(const nlohmann::ordered_json& of, const char* name);

/// The targets of the document; if it has only one, the document itself.
std::vector<const nlohmann::ordered_json*> targets_of(const nlohmann::ordered_json& document);
/// "concurrency 8", "120 a minute, poisson".
std::string label_of(const nlohmann::ordered_json& load);
/// The steps of a histogram of the load, ascending; empty if there is none.
std::vector<counted_value> histogram_of(const nlohmann::ordered_json& load, const char* name);
/// The number of values in the histogram.
double total(const std::vector<counted_value>& steps);

}  // namespace sluice::bench
