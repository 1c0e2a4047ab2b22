#pragma once

#include <string>
#include <string_view>

namespace sluice {

/// Makes text from outside (a relay, a job, a path) safe for a terminal or a log. Thread safe.
///
/// The result is valid UTF-8. Control characters (C0, DEL, C1), line and paragraph separators and
/// marks that change the writing direction become escapes like \x1b and \u202e. Newlines are
/// escaped as well, so that such text cannot pass as a line of this program.
std::string printable_text(std::string_view text);

/// The same, but keeps newlines: for text of several lines.
std::string printable_lines(std::string_view text);

}  // namespace sluice
