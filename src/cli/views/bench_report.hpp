#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace sluice::cli {

/// The document of a benchmark (docs/bench.schema.json) as a table for a person, and what there is
/// to warn of: a client that was too busy, sluice's own cap, what was not measured. Members may be
/// missing. Pure.
std::string bench_lines(const nlohmann::ordered_json& document);

/// Those of its warnings that say that the figures may not be the relay's, for who prints no table:
/// a sentence each. Pure.
std::vector<std::string> bench_warnings(const nlohmann::ordered_json& document);

}  // namespace sluice::cli
