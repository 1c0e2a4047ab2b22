#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::openai {

/// The content of an error response, in any of its formats.
struct error_body {
  std::string message;  ///< one line, as the relay wrote it; empty: none
  std::string code;     ///< `code`; a number is converted to text; empty: none
  std::string type;
  std::string param;
  /// All codes, types, statuses and reasons in it, outermost first; numbers as text. MiniMax's
  /// number is stored as "base_resp N", since other vendors use the same numbers for other errors.
  std::vector<std::string> codes;
  /// The messages of upstream errors inside it, one line each.
  std::vector<std::string> upstream;
  bool structured = false;  ///< it is a JSON object, so not the page of a proxy
  bool page = false;        ///< it is a web page
  /// When to try again, if a field of the body says so. The key is the header with the same
  /// meaning: retry-after, retry-after-ms, or a header that the body repeats.
  std::map<std::string, std::string, std::less<>> hints = {};
};

/// Reads OpenAI's format, the formats of other relays, gateways and vendors, a stream that contains
/// one of them, HTML, and plain text. It also reads an upstream's error inside: an object, JSON in
/// a string, or a dict as Python prints it after a gateway's prefix. Never throws because of the
/// content.
error_body read_error_body(std::string_view body);

/// `text` as one line that is safe to show (printable.hpp). If it is longer than `limit` bytes, it
/// is truncated and ends in "…".
std::string one_line(std::string_view text, std::size_t limit);

}  // namespace sluice::openai
