#include "jobs/own_files.hpp"

#include <fmt/format.h>

#include "base/translated_error.hpp"
#include "files/file_system.hpp"
#include "jobs/stored_line.hpp"
#include "json/text.hpp"

namespace sluice {
namespace {

constexpr std::string_view results_mark = R"({"id":"batch_req_)";
constexpr std::string_view totals_mark = "{\n  \"job\": ";

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string_view first_line(std::string_view text) {
  return text.substr(0, text.find('\n'));
}

// For a torn file: whether it contains only the beginning of the mark.
bool is_torn(std::string_view begin, std::string_view mark) {
  return begin.size() < mark.size() && mark.starts_with(begin);
}

// Whether the line begins with the members `{"id":"batch_req_…","custom_id":` of a result. If it
// may be torn, the existing bytes must be a beginning of them.
bool begins_with_id(std::string_view line, bool may_be_torn) {
  constexpr std::size_t id_digits = 32;
  constexpr std::string_view behind_id = R"(","custom_id":)";
  if (!line.starts_with(results_mark)) return may_be_torn && is_torn(line, results_mark);
  line.remove_prefix(results_mark.size());
  const std::string_view id = line.substr(0, id_digits);
  if (id.find_first_not_of("0123456789abcdef") != std::string_view::npos) return false;
  line.remove_prefix(id.size());
  if (id.size() < id_digits) return may_be_torn && line.empty();
  return line.starts_with(behind_id) || (may_be_torn && is_torn(line, behind_id));
}

}  // namespace

bool begins_as_results(std::string_view begin) {
  const std::string_view line = first_line(begin);
  // A complete line can be parsed, which is needed because lines of the OpenAI Batch API begin in
  // the same way. A tool may have written the line again, with spaces in it.
  const bool ends = line.size() < begin.size();
  return parse_stored_line(line).has_value() || (!ends && begins_with_id(line, false)) ||
         (ends && begins_with_id(line, false) && json_fault(line));
}

bool may_be_torn_results(std::string_view begin) {
  const std::string_view written = begin.substr(0, begin.find('\0'));
  if (begins_as_results(written)) return true;
  return written.find('\n') == std::string_view::npos && begins_with_id(written, true);
}

bool begins_as_totals(std::string_view begin) {
  if (begin.starts_with(totals_mark) && contains(begin, "\n  \"status\": \"")) return true;
  return begin.starts_with('{') && contains(begin, "\"job\"") && contains(begin, "\"status\"") &&
         contains(begin, "\"maybe_billed_attempts\"");
}

bool begins_as_state(std::string_view begin) {
  if (begin.starts_with(state_mark)) return true;
  // Versions before the mark began with these members, in alphabetical order.
  const std::string_view line = first_line(begin);
  constexpr std::string_view first = R"({"attempts":)";
  return line.starts_with(first) && contains(line, R"(,"identity":")") &&
         contains(line, R"("max_requests_in_60s":)");
}

wording foreign_file_sentence(const std::string& path) {
  return worded(
      "{}: is not a file that a run has written, and would be overwritten; move it away, or choose "
      "another place with --output-dir or -o",
      path);
}

void require_ours(file_system& files, const std::string& path,
                  const std::function<bool(std::string_view)>& begins, fatal_error::kind kind) {
  std::error_code error;
  const auto there = files.open(files.resolved(path), file_system::open_as::read_only, error);
  if (error == std::errc::no_such_file_or_directory) return;
  if (!there) throw fatal_error(kind, open_fault_sentence(path, error));
  if (!there->is_regular()) throw translated_error(kind, foreign_file_sentence(path));
  const std::string begin = begin_of(*there, error);
  if (error) throw fatal_error(kind, open_fault_sentence(path, error));
  if (!begin.empty() && !begins(begin)) throw translated_error(kind, foreign_file_sentence(path));
}

bool begins_as_unplaced_results(std::string_view begin) {
  return may_be_torn_results(begin);
}
bool begins_as_unplaced_totals(std::string_view begin) {
  return is_torn(begin, totals_mark) || begins_as_totals(begin) ||
         // It is torn within the name of the job, which is the only content before the status.
         (begin.starts_with(totals_mark) && !contains(begin.substr(totals_mark.size()), "\n"));
}
bool begins_as_unplaced_state(std::string_view begin) {
  return is_torn(begin, state_mark) || begins_as_state(begin);
}

}  // namespace sluice
