#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::openai {

/// Recognises a chunk that is the same as the chunk before it, except for its piece of text. Nearly
/// all chunks of a stream are, and to compare bytes is much cheaper than to parse them as JSON.
///
/// Pure; not thread safe. Memory: one chunk of at most `longest` bytes.
class repeated_chunk {
 public:
  /// A longer chunk is not remembered.
  static constexpr std::size_t longest = 4096;

  /// Remembers a chunk. `text` and `filler` are parts of it: the inside of two JSON strings,
  /// without their quotes. The next chunk may have another text, and another filler after that
  /// text. A filler that is empty or is not after the text must be the same again.
  void remember(std::string_view chunk, std::string_view text, std::string_view filler);
  void forget() noexcept;

  /// The text of `chunk`, as JSON without its quotes, if everything else is the same as in the
  /// remembered chunk. nullopt: parse the chunk. Its text is then empty, or not valid UTF-8, or
  /// something else differs.
  std::optional<std::string_view> text_of(std::string_view chunk) const;

  /// Memory in use, in bytes.
  std::size_t held() const noexcept { return before_.size() + between_.size() + after_.size(); }

 private:
  std::string before_;  ///< up to the quote at the start of the text; empty: none is remembered
  std::string
      between_;        ///< from the quote at the end of the text to that at the start of the filler
  std::string after_;  ///< from the quote at the end of the filler; empty: no filler
};

}  // namespace sluice::openai
