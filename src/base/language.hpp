#pragma once

#include <cstdint>
#include <string_view>

namespace sluice {

/// The languages of the screen. Files, logs and documents for other programs are always English.
enum class language : std::uint8_t { english, chinese };

/// The environment variables that name the language of messages; empty: not set.
struct locale_variables {
  std::string_view lc_all;
  std::string_view lc_messages;
  std::string_view lang;
};

/// The language that the first of these variables names. It is English unless the name begins with
/// "zh". It is also English if the name contains an encoding other than UTF-8, because the screen
/// gets UTF-8. Pure.
language language_of(const locale_variables& set);

}  // namespace sluice
