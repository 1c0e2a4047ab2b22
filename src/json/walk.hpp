#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "json/plain_prefix.hpp"

namespace sluice {

/// What a walk may assume about its text.
enum class json_trust : std::uint8_t {
  none,  ///< nothing: every byte is checked, and every bracket is entered
  /// The text is valid JSON: only the outermost bracket is entered, and nested values are skipped.
  is_valid,
};

/// Walks over one JSON value strictly by RFC 8259, with no limit on the size of numbers, on depth,
/// or on surrogates. It does not check UTF-8. It keeps the open brackets on its own stack, so deep
/// nesting does not use the thread's stack. Not thread safe.
///
/// `Walker` derives from this class, and hides those of the three on_ functions that it needs.
template <typename Walker, json_trust trust = json_trust::none>
class json_walk {
 public:
  explicit json_walk(std::string_view text)
      : begin_(text.data()), at_(begin_), end_(begin_ + text.size()) {}

  /// Whether the text is exactly one value.
  bool run() {
    skip_space();
    for (;;) {
      // A value must begin here. If it opens a bracket, its first value or its end is handled by
      // the next round.
      if (!value()) return false;
      if (!value_ended_) continue;
      do {
        self().on_end();
        skip_space();
        if (open_.empty()) return at_ == end_ || refuse("more text after the value");
        if (!next_item()) return false;
      } while (value_ended_);
    }
  }

  /// The reason, after run() returned false.
  std::string fault() const { return fmt::format("{} at byte {}", reason_, place()); }

 protected:
  // Called when a bracket opens; when a key was read and the value of its member is about to begin;
  // and when a value has ended, with the walk just after it.
  void on_open(char /*bracket*/) {}
  void on_key(std::string_view /*quoted*/, bool /*escaped*/) {}
  void on_end() {}

  /// The number of open brackets, and whether the innermost one belongs to an object.
  std::size_t depth() const { return open_.size(); }
  bool in_object() const { return open_.back() == '{'; }
  std::size_t place() const { return static_cast<std::size_t>(at_ - begin_); }
  std::size_t place(const char* in_text) const {
    return static_cast<std::size_t>(in_text - begin_);
  }
  std::string_view rest() const { return {at_, static_cast<std::size_t>(end_ - at_)}; }
  /// The value that has just ended inside the outermost bracket. Only in on_end() of a walk that
  /// trusts its text.
  std::string_view last_value() const { return {value_, static_cast<std::size_t>(at_ - value_)}; }

 private:
  static constexpr bool is_trusting = trust == json_trust::is_valid;

  Walker& self() { return static_cast<Walker&>(*this); }

  /// Skips a value, or enters it if it is a bracket that is not empty.
  bool value() {
    value_ended_ = true;
    if constexpr (is_trusting) {
      if (!open_.empty()) {
        value_ = at_;
        return skip_value();
      }
    }
    switch (peek()) {
      case '{':
        self().on_open('{');
        return enter('}') || key();
      case '[':
        self().on_open('[');
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

  /// Reads an opening bracket. True if its closing bracket follows at once.
  bool enter(char closing) {
    const char bracket = *at_++;
    skip_space();
    if (peek() == closing) {
      ++at_;
      return true;
    }
    open_.push_back(bracket);
    value_ended_ = false;
    return false;
  }

  /// Reads the comma after a value and moves to the next one, or reads the closing bracket.
  bool next_item() {
    if (peek() == ',') {
      ++at_;
      skip_space();
      value_ended_ = false;
      return !in_object() || key();
    }
    if (peek() != (in_object() ? '}' : ']')) {
      return refuse(in_object() ? "expected a comma or }" : "expected a comma or ]");
    }
    ++at_;
    open_.pop_back();
    return true;
  }

  bool key() {
    const char* const quote = at_;
    if (peek() != '"') return refuse("expected a key");
    if (!string()) return false;
    const std::string_view quoted(quote, static_cast<std::size_t>(at_ - quote));
    skip_space();
    if (peek() != ':') return refuse("expected a colon");
    ++at_;
    skip_space();
    self().on_key(quoted, escaped_);
    return true;
  }

  bool string() {
    if constexpr (is_trusting) {
      const char* const quote = at_;
      const bool ended = skip_string();
      escaped_ = std::find(quote, at_, '\\') != at_;
      return ended;
    }
    escaped_ = false;
    for (++at_;; ++at_) {
      at_ += plain_prefix(rest());
      if (at_ == end_) return refuse("a string without its end");
      if (*at_ == '"') {
        ++at_;
        return true;
      }
      if (*at_ != '\\') return refuse("a control character in a string");
      escaped_ = true;
      if (!escape()) return refuse("a bad escape in a string");
    }
  }

  /// Moves to the last character of an escape.
  bool escape() {
    ++at_;
    if (peek() != 'u') {
      return at_ != end_ && std::string_view("\"\\/bfnrt").find(*at_) != std::string_view::npos;
    }
    for (int digit = 0; digit < 4; ++digit) {
      ++at_;
      if (!is_hex(peek())) return false;
    }
    return true;
  }

  // Skips a value of valid JSON, with everything nested in it.
  bool skip_value() {
    switch (kind_of(peek())) {
      case kind::quote:
        return skip_string();
      case kind::open:
        skip_nested();
        break;
      default:
        while (at_ != end_ && kind_of(*at_) == kind::other) ++at_;
    }
    return true;
  }

  // Skips a string. Its end is a quote after an even number of backslashes.
  bool skip_string() {
    const char* const first = at_ + 1;
    for (;;) {
      const std::size_t quote = std::string_view(at_ + 1, rest().size() - 1).find('"');
      if (quote == std::string_view::npos) {
        at_ = end_;
        return refuse("a string without its end");
      }
      at_ += 1 + quote;
      std::ptrdiff_t escapes = 0;
      while (at_ - escapes != first && at_[-1 - escapes] == '\\') ++escapes;
      if (escapes % 2 == 0) break;
    }
    ++at_;
    return true;
  }

  // Skips a bracket and its content.
  void skip_nested() {
    std::size_t depth = 0;
    do {
      while (at_ != end_ && kind_of(*at_) < kind::quote) ++at_;
      if (at_ == end_) return;
      const kind met = kind_of(*at_);
      if (met == kind::quote) {
        skip_string();
      } else {
        met == kind::open ? ++depth : --depth;
        ++at_;
      }
    } while (depth > 0);
  }

  bool number() {
    const char* const first = at_;
    if (peek() == '-') ++at_;
    if (peek() == '0') {
      ++at_;
    } else if (!digits()) {
      return refuse(at_ == first ? "expected a value" : "a bad number");
    }
    if (peek() == '.') {
      ++at_;
      if (!digits()) return refuse("a bad number");
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!digits()) return refuse("a bad number");
    }
    return true;
  }

  bool digits() {
    const char* const first = at_;
    while (is_digit(peek())) ++at_;
    return at_ != first;
  }

  bool word(std::string_view expected) {
    if (!rest().starts_with(expected)) return refuse("expected a value");
    at_ += expected.size();
    return true;
  }

  void skip_space() {
    while (at_ != end_ && *at_ <= ' ' && kind_of(*at_) == kind::space) ++at_;
  }
  /// The next character, or NUL at the end, which no rule accepts.
  char peek() const { return at_ != end_ ? *at_ : '\0'; }
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  static bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  }
  bool refuse(std::string_view reason) {
    reason_ = at_ != end_ ? reason : "the text ends too early";
    return false;
  }

  // The meaning of a byte when values are skipped. Inside a nested value only the kinds from
  // `quote` on matter.
  enum class kind : std::uint8_t { other, space, comma, quote, open, close };
  static kind kind_of(char c) noexcept { return kinds[static_cast<unsigned char>(c)]; }
  static constexpr std::array<kind, 256> kinds = [] {
    std::array<kind, 256> table{};
    for (const char c : {' ', '\t', '\r', '\n'}) table[static_cast<unsigned char>(c)] = kind::space;
    for (const char c : {'{', '['}) table[static_cast<unsigned char>(c)] = kind::open;
    for (const char c : {'}', ']'}) table[static_cast<unsigned char>(c)] = kind::close;
    table[static_cast<unsigned char>('"')] = kind::quote;
    table[static_cast<unsigned char>(',')] = kind::comma;
    return table;
  }();

  const char* const begin_;
  const char* at_;
  const char* const end_;
  const char* value_ = nullptr;
  std::string open_;  ///< the open brackets
  /// False after an opening bracket or a comma, where a value must follow.
  bool value_ended_ = false;
  bool escaped_ = false;  ///< the last string has escapes
  std::string_view reason_;
};

}  // namespace sluice
