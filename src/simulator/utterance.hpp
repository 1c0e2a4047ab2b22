// The text that a simulated model generates, as a sequence of tokens: random prose or a document.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/random.hpp"
#include "tokens/tokenizer.hpp"

namespace sluice::simulator {

/// A text that knows where its tokens end. Not thread safe. A token of a real vocabulary may end
/// inside a character.
class utterance {
 public:
  void say(std::string_view token) {
    text_ += token;
    ends_.push_back(static_cast<std::uint32_t>(text_.size()));
  }

  const std::string& text() const { return text_; }
  std::size_t tokens() const { return ends_.size(); }
  std::string_view token(std::size_t index) const { return between(begin_of(index), ends_[index]); }

  /// The first token of the piece that contains this token. A piece is the shortest sequence of
  /// tokens that ends with a whole character; most pieces are one token.
  std::size_t piece_start(std::size_t index) const;
  /// The piece that ends with this token; empty if the token ends inside a character.
  std::string_view piece(std::size_t index) const;

  /// Keeps the first `count` tokens.
  void cut_to(std::size_t count);
  /// Whether the text ends with a whole character.
  bool whole() const { return ends_.empty() || ends_whole(ends_.size() - 1); }

 private:
  std::size_t begin_of(std::size_t index) const { return index == 0 ? 0 : ends_[index - 1]; }
  std::string_view between(std::size_t begin, std::size_t end) const {
    return std::string_view(text_).substr(begin, end - begin);
  }
  bool ends_whole(std::size_t index) const;

  std::string text_;
  std::vector<std::uint32_t> ends_;
};

/// `mixed` is mostly English, with Chinese, emoji, quotes and line breaks, so that clients always
/// get escapes and multi-byte characters.
enum class language { mixed, english, chinese };

/// Sentences of exactly `tokens` tokens; a null vocabulary counts words. The tokenizer splits the
/// text into exactly these tokens. English if another language would end inside a character.
utterance prose(random& random, std::size_t tokens, language in, const tokenizer* vocabulary);

/// Splits a text into its tokens. With a null vocabulary a token is whole characters of at most
/// four bytes together.
utterance spelled(std::string_view text, const tokenizer* vocabulary);

/// One English noun.
std::string_view noun(random& random);
/// English nouns. Each is one token together with its space.
std::span<const std::string_view> noun_tokens();

}  // namespace sluice::simulator
