#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "jobs/job_files.hpp"

namespace sluice::cli {

/// Refuses what write_page() would fail over, before there is anything to write: a program built
/// without the page, a folder that is not there or may not be written, and a file that is there and
/// is neither empty nor such a page: it is somebody's, and stays as it is. So do the files of
/// `jobs`. Throws fatal_error.
void require_page(const std::string& path, const std::vector<job_files>& jobs = {});

/// Writes the HTML page of a document (report_page.hpp) at one stroke, with `mode`. Throws
/// fatal_error (cannot_start) when it cannot be written.
void write_page(const std::string& path, const nlohmann::ordered_json& document, unsigned mode);

}  // namespace sluice::cli
