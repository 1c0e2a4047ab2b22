#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

/// One member of a JSON object, as text. A value that must keep its bytes is copied from the text;
/// it is not parsed and printed again.
struct json_member {
  std::string_view key;    ///< without its quotes; escapes are as written
  bool escaped = false;    ///< the key has escapes
  std::string_view value;  ///< without the white space around it
  std::size_t begin = 0;   ///< offset of the key's opening quote in the object's text
  std::size_t end = 0;     ///< offset just after the value
};

/// The members of an object in their order. `object` must be valid JSON (see json_fault); nothing
/// if it is not an object. Pure.
std::optional<std::vector<json_member>> json_members(std::string_view object);

/// Whether the member has this name. The key may be written with escapes.
bool is_named(const json_member& member, std::string_view name);

/// The member with this name, or null. If the name occurs twice, it is the last one, as in most
/// parsers.
const json_member* find_member(const std::vector<json_member>& members, std::string_view key);

/// The name in the key, without escapes.
std::string member_name(const json_member& member);

/// The values of an array in their order; nothing if it is not an array.
std::optional<std::vector<std::string_view>> json_elements(std::string_view array);

/// The text of a JSON string; nothing if `text` is not a string. A lone surrogate becomes U+FFFD.
std::optional<std::string> json_string(std::string_view text);
/// The same, but lone surrogates stay, as WTF-8. This is not valid UTF-8; it is for text that is
/// compared and written back (append_json_wtf8).
std::optional<std::string> json_string_wtf8(std::string_view text);

}  // namespace sluice
