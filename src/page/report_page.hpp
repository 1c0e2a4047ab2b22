#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace sluice {

/// Whether the program was built with what the page is made of.
bool has_report_page() noexcept;

/// One HTML page that shows the document of a benchmark (`sluice bench --json`: an object with
/// "loads", or with "targets") or of jobs (job_report.hpp: an object with "jobs"). All that it
/// needs is in it: it opens from a disk, without a network. Words of others - models, relays,
/// errors
/// - stand in it as data alone.
///
/// Pure. Throws fatal_error (cannot_start) when the program was built without.
std::string report_page(const nlohmann::ordered_json& document);

/// Whether a file that begins so is such a page. Pure.
bool begins_as_report_page(std::string_view text);

/// `document` as text that can stand inside an HTML script element: nothing in it ends the element,
/// opens a comment, or is a line's end to some JavaScript.
std::string json_in_html(const nlohmann::ordered_json& document);

}  // namespace sluice
