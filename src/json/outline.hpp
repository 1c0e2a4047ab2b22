#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "json/members.hpp"

namespace sluice {

/// A JSON object as text: its members, and those of one object inside it.
struct json_outline {
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  std::vector<json_member> members;
  std::size_t opened = none;       ///< index of the member that was opened; `none`: there is none
  std::vector<json_member> inner;  ///< the members of its value; their places, too, are in the text
};

/// Checks `text` and takes it apart in one walk, at half the cost of a check and of the walks over
/// two objects. Opened is the last member with the key `open`, written without escapes, where its
/// value is an object. Nothing when the text is no object or no valid JSON: json_fault() tells.
/// Pure.
std::optional<json_outline> outline_json(std::string_view text, std::string_view open);

}  // namespace sluice
