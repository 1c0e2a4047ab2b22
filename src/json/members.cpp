#include "json/members.hpp"

#include <algorithm>
#include <utility>

#include "json/same_key.hpp"
#include "json/text.hpp"
#include "json/walk.hpp"

namespace sluice {
namespace {

// Splits the outermost bracket of valid JSON into the members of an object or the elements of an
// array.
class outermost : public json_walk<outermost, json_trust::is_valid> {
 public:
  explicit outermost(std::string_view text) : json_walk(text) { run(); }

  std::optional<std::vector<json_member>> members() {
    return bracket_ == '{' ? std::optional(std::move(members_)) : std::nullopt;
  }
  std::optional<std::vector<std::string_view>> elements() {
    return bracket_ == '[' ? std::optional(std::move(elements_)) : std::nullopt;
  }

  void on_open(char bracket) {
    bracket_ = bracket;
    if (bracket == '{') members_.reserve(8);
  }
  void on_key(std::string_view quoted, bool escaped) {
    json_member& member = members_.emplace_back();
    member.key = quoted.substr(1, quoted.size() - 2);
    member.escaped = escaped;
    member.begin = place(quoted.data());
  }
  void on_end() {
    if (depth() == 0) return;
    if (bracket_ == '[') return elements_.push_back(last_value());
    members_.back().value = last_value();
    members_.back().end = place();
  }

 private:
  char bracket_ = '\0';
  std::vector<json_member> members_;
  std::vector<std::string_view> elements_;
};

std::optional<std::string> unquoted(std::string_view text, bool keep_lone_surrogates) {
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') return std::nullopt;
  text = text.substr(1, text.size() - 2);
  if (text.find('\\') == std::string_view::npos) return std::string(text);
  return json_unescaped(text, keep_lone_surrogates);
}

}  // namespace

std::optional<std::vector<json_member>> json_members(std::string_view object) {
  return outermost(object).members();
}

std::string member_name(const json_member& member) {
  std::string name(member.key);
  if (!member.escaped) return name;
  return json_unescaped(name, false).value_or(name);
}

bool is_named(const json_member& member, std::string_view name) {
  return same_key(member.key, name) || (member.escaped && member_name(member) == name);
}

const json_member* find_member(const std::vector<json_member>& members, std::string_view key) {
  const auto found = std::find_if(members.rbegin(), members.rend(), [&](const json_member& member) {
    return same_key(member.key, key) || (member.escaped && member_name(member) == key);
  });
  return found == members.rend() ? nullptr : &*found;
}

std::optional<std::vector<std::string_view>> json_elements(std::string_view array) {
  return outermost(array).elements();
}

std::optional<std::string> json_string(std::string_view text) {
  return unquoted(text, false);
}

std::optional<std::string> json_string_wtf8(std::string_view text) {
  return unquoted(text, true);
}

}  // namespace sluice
