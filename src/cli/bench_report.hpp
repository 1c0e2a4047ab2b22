#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace sluice::cli {

/// The document of a benchmark (docs/bench.schema.json) as a table for a person, and what there is
/// to warn of: a client that was too busy, sluice's own cap, what was not measured. Members may be
/// missing. Pure.
std::string bench_lines(const nlohmann::ordered_json& document);

}  // namespace sluice::cli
