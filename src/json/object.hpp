#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "json/members.hpp"

namespace sluice {

/// A JSON object as text: its values are cut out as they are written, and read where they are asked
/// for. What is no object has no members, so that a path of objects can be followed without a look
/// at each step. A view of the text, which must outlive it. Where a name stands twice, the last
/// one counts. Const members may be called from any thread.
class json_object {
 public:
  json_object() = default;
  /// Of valid JSON.
  explicit json_object(std::string_view value) {
    if (auto members = json_members(value)) *this = json_object(*std::move(members));
  }
  explicit json_object(std::vector<json_member> members)
      : members_(std::move(members)), is_object_(true) {}

  /// Of any text: no object where the text is not valid JSON.
  static json_object parse(std::string_view text);

  /// Whether there is an object at all, perhaps an empty one.
  bool is_object() const noexcept { return is_object_; }
  bool empty() const noexcept { return members_.empty(); }
  const std::vector<json_member>& members() const& noexcept { return members_; }
  std::vector<json_member> members() && noexcept { return std::move(members_); }
  auto begin() const noexcept { return members_.begin(); }
  auto end() const noexcept { return members_.end(); }

  /// Null where there is no such member.
  const json_member* find(std::string_view name) const { return find_member(members_, name); }
  /// The member is there, perhaps as null.
  bool has(std::string_view name) const { return find(name) != nullptr; }
  /// The member is there, and is not null.
  bool has_value(std::string_view name) const { return !value(name).empty(); }

  /// The value as it is written; empty where it is missing or null.
  std::string_view value(std::string_view name) const;
  /// The text of a string; nothing where the value is no string.
  std::optional<std::string> text(std::string_view name) const;
  /// The object that the value is; one that is no object where it is something else.
  json_object object(std::string_view name) const { return json_object(value(name)); }
  /// The elements of a list; none where the value is no list.
  std::vector<std::string_view> list(std::string_view name) const;

 private:
  std::vector<json_member> members_;
  bool is_object_ = false;
};

}  // namespace sluice
