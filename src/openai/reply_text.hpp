#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice::openai {

/// A piece of text that the model wrote.
struct reply_text {
  std::string text;
  bool reasoning = false;  ///< reasoning, not content
};

/// All text of the model in a reply, for every choice: contents, refusals and reasoning, the names
/// and arguments of calls; in a response object, the same from its items. `body` is a complete
/// reply of any endpoint, and valid JSON; embeddings have no text. If a relay sends the reasoning
/// under two names, it is returned once. Pure.
std::vector<reply_text> reply_texts(std::string_view body);

}  // namespace sluice::openai
