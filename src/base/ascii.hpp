#pragma once

#include <string>
#include <string_view>

namespace sluice {

/// The white space of HTTP fields (RFC 9110, section 5.6.3).
inline constexpr std::string_view http_white_space = " \t";
/// All white space in ASCII.
inline constexpr std::string_view ascii_white_space = " \t\r\n\v\f";

/// The text without the white space at its start and at its end. Pure.
std::string_view trimmed(std::string_view text,
                         std::string_view white_space = ascii_white_space) noexcept;

/// The text with the letters A to Z in lower case. Other bytes stay as they are. Pure.
std::string lower_case(std::string_view text);

inline bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}

/// Whether it is a letter from A to Z, in upper or lower case, or a digit.
inline bool is_letter_or_digit(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c);
}

}  // namespace sluice
