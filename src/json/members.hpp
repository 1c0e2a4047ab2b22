#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

/// One member of a JSON object, as text: where a value must keep its bytes, it is cut out rather
/// than parsed and printed again.
struct json_member {
  std::string_view key;    ///< without its quotes, escapes as written
  bool escaped = false;    ///< the key has escapes
  std::string_view value;  ///< without the white space around it
  std::size_t begin = 0;   ///< of the key's opening quote, in the object's text
  std::size_t end = 0;     ///< behind the value
};

/// The members of an object in their order. `object` must be valid JSON (json_fault); nothing when
/// it is not an object. Pure.
std::optional<std::vector<json_member>> json_members(std::string_view object);

/// Whether the member has that name, however its key is written.
bool is_named(const json_member& member, std::string_view name);

/// The member of that name, the last one where it stands twice (as parsers take it), or null.
const json_member* find_member(const std::vector<json_member>& members, std::string_view key);

/// What the key says, without escapes.
std::string member_name(const json_member& member);

/// The values of an array in their order; nothing when it is no array.
std::optional<std::vector<std::string_view>> json_elements(std::string_view array);

/// What a JSON string says; nothing when `text` is no string. A lone surrogate becomes U+FFFD.
std::optional<std::string> json_string(std::string_view text);
/// The same with lone surrogates kept apart, as WTF-8: no valid UTF-8, for what is compared and
/// written back (append_json_wtf8).
std::optional<std::string> json_string_wtf8(std::string_view text);

}  // namespace sluice
