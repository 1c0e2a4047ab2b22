#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace sluice::cli {

/// What a command was asked for, whole, on standard output. Throws fatal_error (cannot_write) when
/// it cannot be written.
void print(const std::string& lines);

/// A document, indented. On a terminal all that is not ASCII stands as escapes: some of it a
/// terminal would obey.
void print(const nlohmann::ordered_json& document);

}  // namespace sluice::cli
