#pragma once

#include <cstdint>
#include <string_view>

namespace sluice {

/// The languages of the screen. Files, logs and documents for programs are always English.
enum class language : std::uint8_t { english, chinese };

/// The environment variables that name the language of messages; empty: not set.
struct locale_variables {
  std::string_view lc_all;
  std::string_view lc_messages;
  std::string_view lang;
};

/// The language that the first of these variables asks for. English unless it begins with "zh";
/// English also where it names an encoding other than UTF-8, which is what the screen gets. Pure.
language language_of(const locale_variables& set);

}  // namespace sluice
