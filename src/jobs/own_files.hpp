#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/wording.hpp"
#include "sluice/error.hpp"

namespace sluice {

class file_system;

// Which files a run may change: an empty file, a file that its state file records, and a file that
// begins in a way that only files of this program do. No other file is truncated, replaced or
// removed. Each function takes the first bytes of a file, 4 KiB or all of them. Pure.

/// Lines of results or errors. The first line may be torn or damaged after its id.
bool begins_as_results(std::string_view begin);
/// What a crash can have left of such a file: it may end at any byte, with NUL bytes after that.
/// This proves nothing unless another file records this one.
bool may_be_torn_results(std::string_view begin);
/// The totals of a job.
bool begins_as_totals(std::string_view begin);
/// A state file.
bool begins_as_state(std::string_view begin);

/// The same for the remains of a temporary file that was to replace another file. These functions
/// apply only to the names of such temporary files. The file may end at any byte, or be empty.
bool begins_as_unplaced_results(std::string_view begin);
bool begins_as_unplaced_totals(std::string_view begin);
bool begins_as_unplaced_state(std::string_view begin);

/// Throws fatal_error of this kind unless the file does not exist, is empty, or is ours according
/// to `begins`.
void require_ours(file_system& files, const std::string& path,
                  const std::function<bool(std::string_view begin)>& begins,
                  fatal_error::kind kind = fatal_error::kind::cannot_start);
/// The message for a file that is not ours.
wording foreign_file_sentence(const std::string& path);

/// The bytes with which a state file begins.
inline constexpr std::string_view state_mark = R"({"sluice_state":1,)";

}  // namespace sluice
