#pragma once

#include <string_view>

namespace sluice {

/// Whether the text contains the word. For long texts in which the word's first character is
/// frequent, such as a quote in JSON: several times as fast as std::string_view::find(). Pure.
bool contains(std::string_view text, std::string_view word) noexcept;

}  // namespace sluice
