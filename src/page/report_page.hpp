#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace sluice {

/// Whether the program was built with the parts of the page.
bool has_report_page() noexcept;

/// One HTML page that shows the document of a benchmark (`sluice bench --json`: an object with
/// "loads", or with "targets") or of jobs (job_report.hpp: an object with "jobs"). The page
/// contains everything that it needs, so it opens from a disk, without a network. Texts from
/// outside (models, relays, errors) are only data in it.
///
/// Pure. Throws fatal_error (cannot_start) if the program was built without the parts.
std::string report_page(const nlohmann::ordered_json& document);

/// Whether a file that begins with this text is such a page. Pure.
bool begins_as_report_page(std::string_view text);

/// `document` as text that is safe inside an HTML script element: it cannot end the element, open a
/// comment, or contain a character that some JavaScript engines treat as a line end.
std::string json_in_html(const nlohmann::ordered_json& document);

}  // namespace sluice
