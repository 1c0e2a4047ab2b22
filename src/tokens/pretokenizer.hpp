#pragma once

#include <cstddef>
#include <string_view>

namespace sluice {

/// Linear scanners for the split patterns of the vocabularies. They split a text into pieces; a
/// token never crosses the border of a piece. The patterns of tiktoken:
///
///   cl100k_base  (?i:'s|'t|'re|'ve|'m|'ll|'d) | [^\r\n\p{L}\p{N}]?\p{L}+ | \p{N}{1,3}
///                | ?[^\s\p{L}\p{N}]+[\r\n]* | \s*[\r\n]+ | \s+(?!\S) | \s+
///   o200k_base   P?U*W+C? | P?U+W*C? | \p{N}{1,3}
///                | ?[^\s\p{L}\p{N}]+[\r\n/]* | \s*[\r\n]+ | \s+(?!\S) | \s+
///     with P = [^\r\n\p{L}\p{N}], U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}], W =
///     [\p{Ll}\p{Lm}\p{Lo}\p{M}], C = (?i:'s|'t|'re|'ve|'m|'ll|'d)
///
/// Each function returns the length of the first piece of `rest` in bytes. `rest` must be valid
/// UTF-8, not empty, and reach to the end of the text. Pure.
std::size_t cl100k_piece(std::string_view rest) noexcept;
std::size_t o200k_piece(std::string_view rest) noexcept;

}  // namespace sluice
