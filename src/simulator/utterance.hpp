// What a simulated model says: made-up prose or a given document, as a row of tokens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/random.hpp"

namespace sluice::simulator {

/// A text that remembers where its tokens end. A token is never part of a character.
class utterance {
 public:
  void say(std::string_view token) {
    text_ += token;
    ends_.push_back(static_cast<std::uint32_t>(text_.size()));
  }

  const std::string& text() const { return text_; }
  std::size_t tokens() const { return ends_.size(); }
  std::string_view token(std::size_t index) const {
    const std::size_t begin = index == 0 ? 0 : ends_[index - 1];
    return std::string_view(text_).substr(begin, ends_[index] - begin);
  }
  /// Keeps the first `count` tokens.
  void cut_to(std::size_t count);

 private:
  std::string text_;
  std::vector<std::uint32_t> ends_;
};

/// Sentences of exactly `tokens` tokens, mostly English, with Chinese, emoji, quotes and line
/// breaks among them so that escapes and multi-byte characters are always met.
utterance prose(random& random, std::size_t tokens);

/// A given text in tokens of at most four bytes.
utterance spelled(std::string_view text);

/// One English noun.
std::string_view noun(random& random);

}  // namespace sluice::simulator
