#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokens/vocabularies/tables.hpp"

namespace sluice {

enum class vocabulary : std::uint8_t { cl100k_base, o200k_base };

/// Text into the tokens of a vocabulary, each for each those of tiktoken's `encode_ordinary`: the
/// text is cut into pieces by the vocabulary's pattern, and in each piece the neighbours that make
/// the token of the lowest rank are merged until none do. What looks like a special token
/// (`<|endoftext|>`) is text.
///
/// Any text takes time in proportion to its length. Pure; may be used from any thread.
class tokenizer {
 public:
  using rank = std::uint32_t;  ///< a token's id

  /// Null when the program was built without the vocabularies' data.
  static const tokenizer* of(vocabulary which) noexcept;

  /// How many tokens the text has; nothing when it is no valid UTF-8.
  std::optional<std::uint64_t> count(std::string_view utf8) const;
  /// The tokens themselves.
  std::optional<std::vector<rank>> encode(std::string_view utf8) const;

  /// What a token stands for, which may be a part of a character; nothing when there is no such
  /// token, or it is a special one.
  std::optional<std::string> bytes_of(rank token) const;
  /// How many bytes that is; 0 where it is nothing.
  std::size_t length_of(rank token) const noexcept {
    return token < size() ? tables_.prefixes[token].length() : 0;
  }
  /// The token that stands for just these bytes.
  std::optional<rank> rank_of(std::string_view bytes) const noexcept;
  /// Ordinary tokens: their ranks are all those below.
  std::size_t size() const noexcept { return tables_.halves.size(); }

 private:
  using splitter = std::size_t (*)(std::string_view rest) noexcept;

  tokenizer(const vocabulary_tables& tables, splitter split) noexcept;

  struct match {
    rank token = 0;
    std::size_t bytes = 0;
  };
  match longest_token(std::string_view text) const noexcept;
  bool stay_apart(rank left, rank right) const noexcept;
  std::optional<rank> merged(rank left, rank right) const noexcept;
  void encode_piece(std::string_view piece, match longest, std::vector<rank>& out) const;

  vocabulary_tables tables_;
  splitter piece_;
  std::array<char, byte_tokens> bytes_{};  ///< those of the first tokens
};

}  // namespace sluice
