#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "json/members.hpp"

namespace sluice {

/// A JSON object as text. Its values are views of the text, and they are parsed only when they are
/// used. A value that is not an object has no members, so a path of objects can be followed without
/// a check at each step. The text must outlive this object. If a name occurs twice, the last one
/// counts. Const members may be called from any thread.
class json_object {
 public:
  json_object() = default;
  /// From valid JSON.
  explicit json_object(std::string_view value) {
    if (auto members = json_members(value)) *this = json_object(*std::move(members));
  }
  explicit json_object(std::vector<json_member> members)
      : members_(std::move(members)), is_object_(true) {}

  /// From any text; if the text is not valid JSON, the result is not an object.
  static json_object parse(std::string_view text);

  /// Whether this is an object; it may be empty.
  bool is_object() const noexcept { return is_object_; }
  bool empty() const noexcept { return members_.empty(); }
  const std::vector<json_member>& members() const& noexcept { return members_; }
  std::vector<json_member> members() && noexcept { return std::move(members_); }
  auto begin() const noexcept { return members_.begin(); }
  auto end() const noexcept { return members_.end(); }

  /// Null if there is no such member.
  const json_member* find(std::string_view name) const { return find_member(members_, name); }
  /// Whether the member exists, possibly as null.
  bool has(std::string_view name) const { return find(name) != nullptr; }
  /// Whether the member exists and is not null.
  bool has_value(std::string_view name) const { return !value(name).empty(); }

  /// The value as it is written; empty if it is missing or null.
  std::string_view value(std::string_view name) const;
  /// The text of a string; nothing if the value is not a string.
  std::optional<std::string> text(std::string_view name) const;
  /// The value as an object; if it is something else, the result is not an object.
  json_object object(std::string_view name) const { return json_object(value(name)); }
  /// The elements of a list; none if the value is not a list.
  std::vector<std::string_view> list(std::string_view name) const;

 private:
  std::vector<json_member> members_;
  bool is_object_ = false;
};

}  // namespace sluice
