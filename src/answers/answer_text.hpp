#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::answers {

/// How a choice of a reply ended, as far as its text is concerned.
enum class ending : std::uint8_t {
  whole,
  cut_off,   ///< at the limit of its tokens
  filtered,  ///< by a content filter
};

/// What one choice of a reply says, without what its model thought.
struct choice_text {
  std::string text;
  std::string refusal;  ///< empty: it did not refuse
  bool calls_tool = false;
  ending end = ending::whole;
};

/// The choices of a whole reply in their order; a response object is one choice. `body` is valid
/// JSON. Pure.
std::vector<choice_text> choice_texts(std::string_view body);

}  // namespace sluice::answers
