#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

/// Functions for JSON as text. Text from a job or a relay is passed on as it was written, including
/// numbers and escapes. All functions are pure and may be called from any thread.

/// Nothing if `text` is exactly one JSON value (RFC 8259); otherwise the reason why it is not, in a
/// few words. Numbers may have any size. A lone surrogate in an escape is allowed, as in the RFC's
/// grammar.
std::optional<std::string> json_fault(std::string_view text);

/// The deepest nesting of a reply that is accepted, because some readers keep their depth on the
/// stack.
constexpr std::size_t deepest_body = 1000;
/// Whether more than `most` brackets of `text` are open at the same time. `text` must be valid
/// JSON.
bool is_nested_deeper(std::string_view text, std::size_t most);

/// `text` without the white space between its tokens, so that it is one line. `text` must be valid
/// JSON.
std::string json_compact(std::string_view text);

/// `text` as a JSON string with its quotes. Invalid UTF-8 becomes U+FFFD.
std::string json_quote(std::string_view text);
void append_json_quoted(std::string& out, std::string_view text);

/// Appends the text as a JSON string that keeps its lone surrogates; the inverse of
/// json_string_wtf8. They become escapes in lower case. Other bytes that are not part of valid
/// UTF-8 become U+FFFD.
void append_json_wtf8(std::string& out, std::string_view text);

/// `text` with U+FFFD in place of every byte that is not part of valid UTF-8.
std::string valid_utf8(std::string text);

/// A nlohmann document as text on one line, with U+FFFD in place of every byte that is not part of
/// valid UTF-8. `dump()` alone throws if a name of a file or a model has such a byte.
template <typename Document>
std::string json_line(const Document& document) {
  return document.dump(-1, ' ', false, Document::error_handler_t::replace);
}

/// The longest prefix of `text` that fits into `bytes` bytes without splitting a character.
std::string_view utf8_prefix(std::string_view text, std::size_t bytes);

/// The content of a JSON string (the text between its quotes) without escapes. Nothing if an escape
/// is invalid or the text is not valid UTF-8. A lone surrogate becomes U+FFFD, or stays as three
/// bytes that are not valid UTF-8 (WTF-8, https://simonsapin.github.io/wtf-8/).
std::optional<std::string> json_unescaped(std::string_view text, bool keep_lone_surrogates);

/// `text` with every escape of a lone surrogate replaced by `\ufffd`. This does not change any
/// offset. It is for parsers that refuse lone surrogates.
std::string without_lone_surrogates(std::string text);

}  // namespace sluice
