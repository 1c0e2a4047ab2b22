#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/chinese.hpp"
#include "base/language.hpp"

namespace sluice {

/// A text in each language of the screen.
struct wording {
  std::string english;
  std::string chinese;

  const std::string& in(language spoken) const {
    return spoken == language::chinese ? chinese : english;
  }
  bool empty() const noexcept { return english.empty(); }
  friend bool operator==(const wording& a, const wording& b) {
    return a.english == b.english && a.chinese == b.chinese;
  }
};

/// The values for which a format string has places, as bits. Throws if the text is not a format
/// string of fmt.
constexpr std::uint64_t places_in(std::string_view text) {
  std::uint64_t found = 0;
  std::size_t next = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '{') continue;
    ++at;
    if (at == text.size()) throw "a place has no end";
    if (text[at] == '{') continue;  // an escaped brace
    const bool numbered = text[at] >= '0' && text[at] <= '9';
    found |= std::uint64_t{1} << (numbered ? static_cast<std::size_t>(text[at] - '0') : next++);
  }
  return found;
}

/// The Chinese translation of an English text. Throws if the table has none, or one with places for
/// other values. In a constant expression, both are compiler errors.
constexpr std::string_view chinese_for(std::string_view english) {
  for (const auto& [text, chinese] : chinese_texts) {
    if (text != english) continue;
    if (places_in(text) != places_in(chinese)) throw "the Chinese text has other places";
    return chinese;
  }
  throw "base/chinese.hpp has no such text";
}

namespace wording_parts {

// The type as which a value is formatted.
template <typename Value>
using shown = std::conditional_t<std::is_same_v<Value, wording>, std::string, Value>;

template <typename Value>
const Value& in_language(language, const Value& value) {
  return value;
}
inline const std::string& in_language(language spoken, const wording& value) {
  return value.in(spoken);
}

/// A text of the program in each language, with places for these values. The compiler checks that
/// the Chinese translation exists, and that both texts fit the values.
template <typename... Values>
class checked_phrase {
 public:
  template <std::size_t size>
  // NOLINTNEXTLINE(google-explicit-constructor): it stands for the text itself
  consteval checked_phrase(const char (&english)[size])
      : english_(std::string_view(english, size - 1)),
        chinese_(chinese_for(std::string_view(english, size - 1))) {}

  fmt::string_view in(language spoken) const {
    return spoken == language::chinese ? chinese_ : english_;
  }

 private:
  using text = fmt::basic_format_string<char, const shown<Values>&...>;
  text english_;
  text chinese_;
};

}  // namespace wording_parts

template <typename... Values>
using phrase = wording_parts::checked_phrase<std::type_identity_t<Values>...>;

/// The phrase in one language. A value may be a wording. Pure.
template <typename... Values>
std::string say(language spoken, phrase<Values...> text, const Values&... values) {
  return [&](const auto&... shown) {
    return fmt::vformat(text.in(spoken), fmt::make_format_args(shown...));
  }(wording_parts::in_language(spoken, values)...);
}

/// The phrase in every language.
template <typename... Values>
wording worded(phrase<Values...> text, const Values&... values) {
  return {say<Values...>(language::english, text, values...),
          say<Values...>(language::chinese, text, values...)};
}

}  // namespace sluice
