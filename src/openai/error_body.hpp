#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::openai {

/// What the body of a refusal says, whatever its shape.
struct error_body {
  std::string message;  ///< one line, the relay's own words; empty: it has none
  std::string code;     ///< `code`, a number as text; empty: none
  std::string type;
  std::string param;
  /// Every code, type, status and reason in it, outermost first, numbers as text. MiniMax's number
  /// is "base_resp N", since other vendors use the same numbers for other things.
  std::vector<std::string> codes;
  /// The messages of the errors that it passes on from an upstream, one line each.
  std::vector<std::string> upstream;
  bool structured = false;  ///< it is a JSON object: not a proxy's page
  bool page = false;        ///< it is a web page
  /// When to try again, where a field of the body says so, under the name of the header that would
  /// say the same: retry-after, retry-after-ms, or a header that is repeated there.
  std::map<std::string, std::string, std::less<>> hints = {};
};

/// Reads OpenAI's envelope, the shapes that relays, gateways and other vendors put in its place, a
/// stream that holds one of them, HTML, and plain text. An upstream's error inside is read too: as
/// an object, as JSON in a string, or as Python prints it behind a gateway's own words. Never
/// throws on what it reads.
error_body read_error_body(std::string_view body);

/// `text` on one line, as it may be shown (printable.hpp). Where something is left out, because it
/// is longer than `limit` bytes, it ends in "…".
std::string one_line(std::string_view text, std::size_t limit);

}  // namespace sluice::openai
