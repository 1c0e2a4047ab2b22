#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace sluice::cli {

/// Refuses what write_page() would fail over, before there is anything to write: a program built
/// without the page, a folder that is not there or may not be written. Throws fatal_error.
void require_page(const std::string& path);

/// Writes the HTML page of a document (report_page.hpp) at one stroke, with `mode`. Throws
/// fatal_error (cannot_start) when it cannot be written.
void write_page(const std::string& path, const nlohmann::ordered_json& document, unsigned mode);

}  // namespace sluice::cli
