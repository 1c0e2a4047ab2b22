#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

/// JSON kept as text: what a job or a relay wrote goes out as it was written, numbers and escapes
/// included. Pure; every function may be called from any thread.

/// Nothing when `text` is one JSON value (RFC 8259) and nothing else; otherwise why not, in a few
/// words. Numbers may have any size; a lone surrogate in an escape is allowed, as the RFC's grammar
/// does.
std::optional<std::string> json_fault(std::string_view text);

/// What of a reply a reader takes that keeps its depth on a stack.
constexpr std::size_t deepest_body = 1000;
/// Whether more than so many brackets of `text`, which is valid JSON, are open at once.
bool is_nested_deeper(std::string_view text, std::size_t most);

/// `text`, which is valid JSON, without the white space between its tokens: one line.
std::string json_compact(std::string_view text);

/// How many bytes at the start of `text` a JSON string holds as they are, up to the first quote,
/// backslash or control character; of ASCII only, where that is asked for.
std::size_t plain_prefix(std::string_view text, bool ascii_only = false);

/// `text` as a JSON string with its quotes. Invalid UTF-8 becomes U+FFFD.
std::string json_quote(std::string_view text);
void append_json_quoted(std::string& out, std::string_view text);

/// What JSON says in a string, with its lone surrogates: the inverse of json_string_wtf8. They
/// become escapes again, in lower case; other bytes that are no part of valid UTF-8, U+FFFD.
void append_json_wtf8(std::string& out, std::string_view text);

/// `text` with every byte that is no part of valid UTF-8 replaced by U+FFFD.
std::string valid_utf8(std::string text);

/// As much of `text` as fits into so many bytes without cutting a character in two.
std::string_view utf8_prefix(std::string_view text, std::size_t bytes);

/// What stands between the quotes of a JSON string, without escapes; nothing where one is bad,
/// or where the text is no valid UTF-8. A lone surrogate becomes U+FFFD, or stays as the three
/// bytes that UTF-8 forbids it to have (WTF-8, https://simonsapin.github.io/wtf-8/).
std::optional<std::string> json_unescaped(std::string_view text, bool keep_lone_surrogates);

/// `text` with every escape of a lone surrogate replaced by `\ufffd`, byte for byte at the same
/// places, for parsers that refuse them.
std::string without_lone_surrogates(std::string text);

}  // namespace sluice
