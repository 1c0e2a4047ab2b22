#pragma once

#include <string>
#include <string_view>

namespace sluice {

/// Words from anywhere - a relay, a job, a path - as a screen or a log may have them: valid UTF-8,
/// and nothing in it that a terminal would obey or that makes text look like other text. Controls
/// (C0, DEL, C1), the separators of lines and paragraphs, and the marks that turn the direction of
/// writing stand as escapes, like \x1b and \u202e; a newline, too, so that nobody's words look
/// like a line of ours.
///
/// Pure; may be called from any thread.
std::string printable_text(std::string_view text);

/// The same of a text of several lines, whose newlines are kept.
std::string printable_lines(std::string_view text);

}  // namespace sluice
