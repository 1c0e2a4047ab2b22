#pragma once

#include <cstdint>

namespace sluice {

/// The classes of a code point that matter to the tokenizer, as bits: general categories of Unicode
/// 16.0.
enum unicode_class : std::uint8_t {
  letter = 1,   ///< L
  number = 2,   ///< N
  space = 4,    ///< White_Space
  newline = 8,  ///< only CR and LF
  upper = 16,   ///< Lu, Lt, Lm, Lo, M: may begin a word
  lower = 32,   ///< Ll, Lm, Lo, M: may continue and end a word
};

namespace detail {
extern const std::uint8_t unicode_block_of[];
extern const std::uint8_t unicode_blocks[];
}  // namespace detail

/// The unicode_class bits of a code point below 0x110000. Pure.
inline std::uint8_t unicode_classes(std::uint32_t point) noexcept {
  return detail::unicode_blocks[detail::unicode_block_of[point >> 7U] * 128U + (point & 127U)];
}

}  // namespace sluice
