#include "json/outline.hpp"

#include <simdjson.h>

#include <utility>

#include "json/walk.hpp"

namespace sluice {
namespace {

class outliner : public json_walk<outliner> {
 public:
  outliner(std::string_view text, std::string_view open) : json_walk(text), open_key_(open) {
    constexpr std::size_t usual = 8;
    outline_.members.reserve(usual);
    outline_.inner.reserve(usual);
  }

  /// Nothing if the value is not an object.
  std::optional<json_outline> take() {
    return is_object_ ? std::optional(std::move(outline_)) : std::nullopt;
  }

  void on_open(char bracket) {
    if (bracket != '{') return;
    if (depth() == 0) is_object_ = true;
    if (depth() != 1 || !is_object_) return;
    inside_ = outline_.members.back().key == open_key_;
    if (!inside_) return;
    outline_.opened = outline_.members.size() - 1;
    outline_.inner.clear();
  }

  void on_key(std::string_view quoted, bool escaped) {
    auto* const list = members();
    if (list == nullptr) return;
    json_member& member = list->emplace_back();
    member.key = quoted.substr(1, quoted.size() - 2);
    member.escaped = escaped;
    member.begin = place(quoted.data());
    // It reaches to the end of the text, because the end of the value is not known yet.
    member.value = rest();
  }

  void on_end() {
    auto* const list = members();
    if (list == nullptr) return;
    json_member& member = list->back();
    member.value.remove_suffix(rest().size());
    member.end = place();
    const bool closed_again =
        list == &outline_.members && member.key == open_key_ && member.value.front() != '{';
    if (closed_again) outline_.opened = json_outline::none;
  }

 private:
  /// The list for the members of the innermost bracket; null if they are not collected.
  std::vector<json_member>* members() {
    if (!is_object_ || depth() == 0 || !in_object()) return nullptr;
    if (depth() == 1) return &outline_.members;
    return depth() == 2 && inside_ ? &outline_.inner : nullptr;
  }

  const std::string_view open_key_;
  bool is_object_ = false;
  bool inside_ = false;  ///< the object at depth two is the one to open
  json_outline outline_;
};

}  // namespace

std::optional<json_outline> outline_json(std::string_view text, std::string_view open) {
  if (!simdjson::validate_utf8(text.data(), text.size())) return std::nullopt;
  outliner walk(text, open);
  return walk.run() ? walk.take() : std::nullopt;
}

}  // namespace sluice
