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

/// Splits text into the tokens of a vocabulary. Immutable and thread safe.
///
/// The tokens are exactly those of tiktoken's `encode_ordinary` (byte pair encoding): the
/// vocabulary's pattern splits the text into pieces; in each piece the pair that forms the token of
/// the lowest rank is merged, again and again until no pair forms a token. A special token like
/// `<|endoftext|>` is treated as text. Time is linear in the length of the text.
class tokenizer {
 public:
  using rank = std::uint32_t;  ///< a token's id

  /// Null if the program was built without vocabularies.
  static const tokenizer* of(vocabulary which) noexcept;

  /// The number of tokens; nothing if the text is not valid UTF-8.
  std::optional<std::uint64_t> count(std::string_view utf8) const;
  /// The tokens themselves.
  std::optional<std::vector<rank>> encode(std::string_view utf8) const;

  /// The bytes of a token, which may be a part of a character. Nothing for special tokens and for
  /// ids that do not exist.
  std::optional<std::string> bytes_of(rank token) const;
  /// The number of bytes of a token; 0 if bytes_of() returns nothing.
  std::size_t length_of(rank token) const noexcept {
    return token < size() ? tables_.prefixes[token].length() : 0;
  }
  /// The token that has exactly these bytes.
  std::optional<rank> rank_of(std::string_view bytes) const noexcept;
  /// The number of ordinary tokens. Their ranks are 0 to size() - 1.
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
  std::array<char, byte_tokens> bytes_{};  ///< the bytes of the first 256 tokens
};

}  // namespace sluice
