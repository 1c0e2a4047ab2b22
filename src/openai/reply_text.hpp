#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice::openai {

/// A piece of what a model wrote.
struct reply_text {
  std::string text;
  bool reasoning = false;  ///< thought rather than said
};

/// All that a reply shows of what its model wrote, for every choice: contents, refusals and
/// reasoning, the names and arguments of calls; of a response the same of its items. `body` is a
/// whole reply of any endpoint, and valid JSON; embeddings have no text. Where a relay gives the
/// reasoning under two names it is taken once. Pure.
std::vector<reply_text> reply_texts(std::string_view body);

}  // namespace sluice::openai
