#pragma once

#include <cstdint>

namespace sluice {

/// What a code point is to a tokenizer, as bits: by the general categories of Unicode 16.0.
enum unicode_class : std::uint8_t {
  letter = 1,   ///< L
  number = 2,   ///< N
  space = 4,    ///< White_Space
  newline = 8,  ///< CR and LF alone
  upper = 16,   ///< Lu, Lt, Lm, Lo, M: what may begin a word
  lower = 32,   ///< Ll, Lm, Lo, M: what may go on and end it
};

namespace detail {
extern const std::uint8_t unicode_block_of[];
extern const std::uint8_t unicode_blocks[];
}  // namespace detail

/// The unicode_class bits of a code point, which is below 0x110000. Two look-ups; pure.
inline std::uint8_t unicode_classes(std::uint32_t point) noexcept {
  return detail::unicode_blocks[detail::unicode_block_of[point >> 7U] * 128U + (point & 127U)];
}

}  // namespace sluice
