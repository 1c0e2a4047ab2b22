#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace sluice::cli {

/// The document of a benchmark (docs/bench.schema.json) as a table for a person, with warnings: the
/// client was too busy, sluice's own limit held the load back, something was not measured. Members
/// of the document may be missing. `columns`: width of the terminal; if the table does not fit, it
/// shows only medians. 0: any width. Pure.
std::string bench_lines(const nlohmann::ordered_json& document, std::size_t columns = 0);

/// The warnings that the numbers may not be those of the relay, one sentence each, for a command
/// that prints no table. Pure.
std::vector<std::string> bench_warnings(const nlohmann::ordered_json& document);

/// The sentence that ranks the targets of the document, as a line; empty: there is none.
std::string ranking_line(const nlohmann::ordered_json& document);

}  // namespace sluice::cli
