// What a simulated model says: made-up prose or a given document, as a row of tokens.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/random.hpp"
#include "tokens/tokenizer.hpp"

namespace sluice::simulator {

/// A text that remembers where its tokens end. A token of a real vocabulary may be a part of a
/// character.
class utterance {
 public:
  void say(std::string_view token) {
    text_ += token;
    ends_.push_back(static_cast<std::uint32_t>(text_.size()));
  }

  const std::string& text() const { return text_; }
  std::size_t tokens() const { return ends_.size(); }
  std::string_view token(std::size_t index) const { return between(begin_of(index), ends_[index]); }

  /// The first token of the piece that this token belongs to: pieces are whole characters, and most
  /// are one token.
  std::size_t piece_start(std::size_t index) const;
  /// The piece that ends with this token; empty for a token in whose middle a character is open.
  std::string_view piece(std::size_t index) const;

  /// Keeps the first `count` tokens.
  void cut_to(std::size_t count);
  /// Whether it ends with a whole character.
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

/// `mixed`: mostly English, with Chinese, emoji, quotes and line breaks among it so that escapes
/// and multi-byte characters are always met.
enum class language { mixed, english, chinese };

/// Sentences of exactly `tokens` tokens, words where the vocabulary is null. What the tokenizer
/// makes of the text are these tokens. English where the language would not end with a character.
utterance prose(random& random, std::size_t tokens, language in, const tokenizer* vocabulary);

/// A given text in its tokens; where the vocabulary is null, of at most four bytes, each of whole
/// characters.
utterance spelled(std::string_view text, const tokenizer* vocabulary);

/// One English noun.
std::string_view noun(random& random);
/// English nouns, each a token with its space.
std::span<const std::string_view> noun_tokens();

}  // namespace sluice::simulator
