#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::answers {

/// How the text of a choice ended.
enum class ending : std::uint8_t {
  whole,
  cut_off,   ///< at the token limit
  filtered,  ///< by a content filter
};

/// The text of one choice of a reply, without reasoning.
struct choice_text {
  std::string text;
  std::string refusal;  ///< empty: the model did not refuse
  bool calls_tool = false;
  ending end = ending::whole;
};

/// The choices of a complete reply, in order. A response object is one choice. `body` is valid
/// JSON. Pure.
std::vector<choice_text> choice_texts(std::string_view body);

}  // namespace sluice::answers
