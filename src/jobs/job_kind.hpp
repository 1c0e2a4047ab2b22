#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/wording.hpp"
#include "json/object.hpp"

namespace sluice {

/// A line format of another program.
struct foreign_form {
  std::string_view line;    ///< describes one line, with its article
  std::string_view lines;   ///< describes several lines
  std::string_view advice;  ///< what to do, as a sentence without its full stop
};

/// The format of a line if it belongs to another API or is a result; null for all other lines.
/// Pure.
const foreign_form* foreign_line(const json_object& line);

/// Recognizes a file that cannot be a job from the beginning of its text: compressed, UTF-16, a
/// list, pretty-printed, a table, lines of another API. Returns the end of a sentence that starts
/// with the file's name; it says what the file is and what to do. Nothing if the file may be a job,
/// even one with bad lines. Lines are judged one by one unless all visible lines have the same
/// foreign format. Pure.
std::optional<wording> foreign_file(std::string_view start);

}  // namespace sluice
