#include "json_outline.hpp"

#include <simdjson.h>

#include <cstddef>
#include <string>
#include <utility>

#include "json_text.hpp"

namespace sluice {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/// One walk by the grammar of RFC 8259, which json_fault() words: no limit on depth or on the size
/// of a number, lone surrogates allowed.
class outliner {
 public:
  outliner(std::string_view text, std::string_view open)
      : begin_(text.data()), at_(begin_), end_(begin_ + text.size()), open_key_(open) {
    constexpr std::size_t usual = 8;
    outline_.members.reserve(usual);
    outline_.inner.reserve(usual);
  }

  bool walk() {
    skip_space();
    if (!next_is('{')) return false;
    for (;;) {
      if (!value()) return false;
      if (!value_ended_) continue;
      do {
        ended();
        skip_space();
        if (open_.empty()) return at_ == end_;
        if (!next_item()) return false;
      } while (value_ended_);
    }
  }

  json_outline take() { return std::move(outline_); }

 private:
  bool next_is(char c) const { return at_ != end_ && *at_ == c; }
  void skip_space() {
    while (at_ != end_ && is_space(*at_)) ++at_;
  }
  std::string_view rest() const { return {at_, static_cast<std::size_t>(end_ - at_)}; }
  std::size_t place() const { return static_cast<std::size_t>(at_ - begin_); }

  /// Steps over a value, or into one that is not empty.
  bool value() {
    value_ended_ = true;
    if (at_ == end_) return false;
    switch (*at_) {
      case '{':
        begin_object();
        return enter('}') || key();
      case '[':
        enter(']');
        return true;
      case '"':
        return string();
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number();
    }
  }

  /// True where the bracket closes at once.
  bool enter(char closing) {
    open_.push_back(*at_++);
    skip_space();
    if (next_is(closing)) {
      ++at_;
      open_.pop_back();
      return true;
    }
    value_ended_ = false;
    return false;
  }

  /// Behind a value: a comma and what is due then, or the bracket's end.
  bool next_item() {
    if (at_ == end_) return false;
    const bool in_object = open_.back() == '{';
    if (*at_ == ',') {
      ++at_;
      skip_space();
      value_ended_ = false;
      return !in_object || key();
    }
    if (*at_ != (in_object ? '}' : ']')) return false;
    ++at_;
    open_.pop_back();
    value_ended_ = true;
    return true;
  }

  /// Where the members of the innermost bracket are written down; null where they are not.
  std::vector<json_member>* members() {
    if (open_.size() == 1) return &outline_.members;
    return open_.size() == 2 && inside_ && open_.back() == '{' ? &outline_.inner : nullptr;
  }

  bool key() {
    const char* const quote = at_;
    if (!next_is('"') || !string()) return false;
    const char* const behind = at_;
    skip_space();
    if (!next_is(':')) return false;
    ++at_;
    skip_space();
    if (auto* const list = members()) {
      json_member& member = list->emplace_back();
      member.key = {quote + 1, static_cast<std::size_t>(behind - quote - 2)};
      member.escaped = escaped_;
      member.begin = static_cast<std::size_t>(quote - begin_);
      member.value = rest();  // up to where it ends, which is not known yet
    }
    return true;
  }

  /// An object begins, perhaps the one that is to be opened.
  void begin_object() {
    if (open_.size() != 1) return;
    const bool wanted = outline_.members.back().key == open_key_;
    inside_ = wanted;
    if (!wanted) return;
    outline_.opened = outline_.members.size() - 1;
    outline_.inner.clear();
  }

  /// A value has ended.
  void ended() {
    auto* const list = members();
    if (list == nullptr) return;
    json_member& member = list->back();
    member.value.remove_suffix(rest().size());
    member.end = place();
    const bool closed_again =
        list == &outline_.members && member.key == open_key_ && member.value.front() != '{';
    if (closed_again) outline_.opened = json_outline::none;
  }

  bool string() {
    escaped_ = false;
    for (++at_;; ++at_) {
      at_ += plain_prefix(rest());
      if (at_ == end_) return false;
      if (*at_ == '"') {
        ++at_;
        return true;
      }
      escaped_ = true;
      if (*at_ != '\\' || !escape()) return false;
    }
  }

  /// Steps to the last character of an escape.
  bool escape() {
    if (++at_ == end_) return false;
    if (*at_ != 'u') return std::string_view("\"\\/bfnrt").find(*at_) != std::string_view::npos;
    if (end_ - at_ < 5) return false;
    for (int digit = 0; digit < 4; ++digit) {
      if (!is_hex(*++at_)) return false;
    }
    return true;
  }

  bool number() {
    if (next_is('-')) ++at_;
    if (next_is('0')) {
      ++at_;
    } else if (!digits()) {
      return false;
    }
    if (next_is('.') && (++at_, !digits())) return false;
    if (next_is('e') || next_is('E')) {
      ++at_;
      if (next_is('+') || next_is('-')) ++at_;
      return digits();
    }
    return true;
  }

  bool digits() {
    const char* const first = at_;
    while (at_ != end_ && is_digit(*at_)) ++at_;
    return at_ != first;
  }

  bool word(std::string_view expected) {
    if (!rest().starts_with(expected)) return false;
    at_ += expected.size();
    return true;
  }

  const char* const begin_;
  const char* at_;
  const char* const end_;
  const std::string_view open_key_;
  std::string open_;          ///< the brackets that are open
  bool value_ended_ = false;  ///< false behind an opening bracket or a comma: a value is due
  bool escaped_ = false;      ///< the last string has escapes
  bool inside_ = false;       ///< the object at depth two is the one to be opened
  json_outline outline_;
};

}  // namespace

std::optional<json_outline> outline_json(std::string_view text, std::string_view open) {
  if (!simdjson::validate_utf8(text.data(), text.size())) return std::nullopt;
  outliner walker(text, open);
  if (!walker.walk()) return std::nullopt;
  return walker.take();
}

}  // namespace sluice
