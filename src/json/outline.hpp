#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "json/members.hpp"

namespace sluice {

/// A JSON object as text: its members, and the members of one object inside it.
struct json_outline {
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  std::vector<json_member> members;
  std::size_t opened = none;  ///< index of the member that was opened; `none`: there is none
  /// The members of its value; their offsets, too, refer to the text.
  std::vector<json_member> inner;
};

/// Checks `text` and splits it in one pass. This takes half the time of a check and separate passes
/// over two objects. It opens the last member with the key `open` (written without escapes) if its
/// value is an object. Nothing if the text is not valid JSON or not an object; json_fault() gives
/// the reason. Pure.
std::optional<json_outline> outline_json(std::string_view text, std::string_view open);

}  // namespace sluice
