#include "tokens/pretokenizer.hpp"

#include <cstdint>

#include "tokens/unicode_classes.hpp"

namespace sluice {
namespace {

struct character {
  std::uint8_t is;     ///< unicode_class bits
  std::uint8_t bytes;  ///< 0 at the end of the text
};

/// Reads a text character by character.
class scanner {
 public:
  explicit scanner(std::string_view rest)
      : begin_(rest.data()), at_(begin_), end_(begin_ + rest.size()) {}

  std::size_t done() const { return static_cast<std::size_t>(at_ - begin_); }
  bool at_end() const { return at_ == end_; }
  bool at(char ascii) const { return at_ != end_ && *at_ == ascii; }
  std::string_view rest() const { return {at_, static_cast<std::size_t>(end_ - at_)}; }

  character peek() const {
    if (at_ == end_) return {0, 0};
    const std::uint32_t first = byte(0);
    if (first < 0x80) return {unicode_classes(first), 1};
    if (first < 0xE0) return {unicode_classes((first & 0x1FU) << 6U | tail(1)), 2};
    if (first < 0xF0) return {unicode_classes((first & 0xFU) << 12U | tail(1) << 6U | tail(2)), 3};
    return {unicode_classes((first & 7U) << 18U | tail(1) << 12U | tail(2) << 6U | tail(3)), 4};
  }
  /// Skips whole characters of `bytes` bytes.
  void skip(std::size_t bytes) { at_ += bytes; }
  /// Skips all characters of these classes. Returns whether there were any.
  bool skip_all(std::uint8_t classes) {
    const char* const first = at_;
    for (character next = peek(); (next.is & classes) != 0; next = peek()) at_ += next.bytes;
    return at_ != first;
  }

 private:
  std::uint32_t byte(std::size_t i) const { return static_cast<unsigned char>(at_[i]); }
  std::uint32_t tail(std::size_t i) const { return byte(i) & 0x3FU; }

  const char* const begin_;
  const char* at_;
  const char* const end_;
};

bool is_other(character c) {
  return c.bytes != 0 && (c.is & (letter | number | space)) == 0;
}

char to_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

// The bytes that (?i:'s|'t|'re|'ve|'m|'ll|'d) matches at the start of the text, or 0. Without case,
// the long s (U+017F) matches s, too.
std::size_t contraction(std::string_view text) {
  if (text.size() < 2 || text.front() != '\'') return 0;
  if (text.substr(1).starts_with("\xC5\xBF")) return 3;
  const char first = to_lower(text[1]);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if (text.size() < 3) return 0;
  const char second = to_lower(text[2]);
  const bool is_long =
      ((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l');
  return is_long ? 3 : 0;
}

// \p{N}{1,3}
std::size_t numbers(scanner text) {
  for (int digit = 0; digit < 3 && (text.peek().is & number) != 0; ++digit) {
    text.skip(text.peek().bytes);
  }
  return text.done();
}

// \s*[\r\n]+|\s+(?!\S)|\s+
std::size_t spaces(scanner text) {
  std::size_t last = 0;      // where the last space begins
  std::size_t newlines = 0;  // where the last newline ends
  for (character next = text.peek(); (next.is & space) != 0; next = text.peek()) {
    last = text.done();
    text.skip(next.bytes);
    if ((next.is & newline) != 0) newlines = text.done();
  }
  if (newlines > 0) return newlines;
  return text.at_end() || last == 0 ? text.done() : last;
}

//  ?[^\s\p{L}\p{N}]+[\r\n]*, or with `slashes` [\r\n/]* at its end; 0: no match
std::size_t others(scanner text, bool slashes) {
  if (text.at(' ')) text.skip(1);
  character next = text.peek();
  if (!is_other(next)) return 0;
  for (; is_other(next); next = text.peek()) text.skip(next.bytes);
  while (text.skip_all(newline) || (slashes && text.at('/'))) {
    if (text.at('/') && slashes) text.skip(1);
  }
  return text.done();
}

// U*W+; 0: no match. Backtracks: U* must leave at least one character for W+.
std::size_t word(scanner text) {
  std::size_t both = 0;  // the end of the last character that is in U and in W
  for (character next = text.peek(); (next.is & upper) != 0; next = text.peek()) {
    text.skip(next.bytes);
    if ((next.is & lower) != 0) both = text.done();
  }
  return text.skip_all(lower) ? text.done() : both;
}

// U+W*; 0: no match. Called only if U*W+ does not match, so W* matches nothing.
std::size_t capitals(scanner text) {
  text.skip_all(upper);
  return text.done();
}

}  // namespace

std::size_t cl100k_piece(std::string_view rest) noexcept {
  scanner text(rest);
  if (const std::size_t bytes = contraction(rest)) return bytes;
  const character first = text.peek();
  if ((first.is & number) != 0) return numbers(text);
  scanner behind = text;
  behind.skip((first.is & newline) != 0 ? 0 : first.bytes);
  if (behind.skip_all(letter) || (first.is & letter) != 0) return behind.done();
  if (const std::size_t bytes = others(text, false)) return bytes;
  return spaces(text);
}

std::size_t o200k_piece(std::string_view rest) noexcept {
  const scanner text(rest);
  const character first = text.peek();
  if ((first.is & number) != 0) return numbers(text);
  const std::size_t prefix = (first.is & (letter | newline)) == 0 ? first.bytes : 0;
  const scanner behind(rest.substr(prefix));
  std::size_t end = 0;
  const auto matches = [&](std::size_t skipped, std::size_t bytes) {
    end = skipped + bytes;
    return bytes > 0;
  };
  if (matches(prefix, word(behind)) || (prefix > 0 && matches(0, word(text))) ||
      matches(prefix, capitals(behind)) || (prefix > 0 && matches(0, capitals(text)))) {
    return end + contraction(rest.substr(end));
  }
  if (const std::size_t found = others(text, true)) return found;
  return spaces(text);
}

}  // namespace sluice
