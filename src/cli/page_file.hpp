#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "jobs/job_files.hpp"

namespace sluice::cli {

/// Checks early that write_page() can write the file. Refuses it if the program was built without
/// the page, if the folder does not exist or cannot be written, if the file exists and is neither
/// empty nor such a page, and if it is one of the files of `jobs`. Throws fatal_error.
void require_page(const std::string& path, const std::vector<job_files>& jobs = {});

/// Writes the HTML page of a document (report_page.hpp), replacing the file atomically. `mode`
/// gives its permissions. Throws fatal_error (cannot_start) if it cannot be written.
void write_page(const std::string& path, const nlohmann::ordered_json& document, unsigned mode);

}  // namespace sluice::cli
