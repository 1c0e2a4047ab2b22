#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/wording.hpp"
#include "sluice/error.hpp"

namespace sluice {

class file_system;

// Which files a run may change: one that is empty, one that its state file records, and one that
// begins as only this program's files do. Nothing else is truncated, replaced or removed. Each
// takes the first bytes of a file, 4 KiB of them or all. Pure.

/// Lines of results or errors. The first may be torn or damaged behind its id.
bool begins_as_results(std::string_view begin);
/// What a crash can have left of such a file: it may be torn anywhere, and hold NUL bytes from
/// there on. No proof without another file that records it.
bool may_be_torn_results(std::string_view begin);
/// The totals of a job.
bool begins_as_totals(std::string_view begin);
/// A state file.
bool begins_as_state(std::string_view begin);

/// The same for what a crash left of a file that was to take another's place, under the name that
/// such files have: it may have been torn anywhere, or be empty.
bool begins_as_unplaced_results(std::string_view begin);
bool begins_as_unplaced_totals(std::string_view begin);
bool begins_as_unplaced_state(std::string_view begin);

/// Throws fatal_error of that kind unless the file is not there, is empty, or is ours as `begins`
/// says.
void require_ours(file_system& files, const std::string& path,
                  const std::function<bool(std::string_view begin)>& begins,
                  fatal_error::kind kind = fatal_error::kind::cannot_start);
/// What is said of one that is not.
wording foreign_file_sentence(const std::string& path);

/// What a state file begins with.
inline constexpr std::string_view state_mark = R"({"sluice_state":1,)";

}  // namespace sluice
