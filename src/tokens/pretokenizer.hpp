#pragma once

#include <cstddef>
#include <string_view>

namespace sluice {

/// The split patterns of the vocabularies, as linear scanners: text is cut into pieces, and no
/// token reaches over a cut. The patterns, as tiktoken has them:
///
///   cl100k_base  (?i:'s|'t|'re|'ve|'m|'ll|'d) | [^\r\n\p{L}\p{N}]?\p{L}+ | \p{N}{1,3}
///                | ?[^\s\p{L}\p{N}]+[\r\n]* | \s*[\r\n]+ | \s+(?!\S) | \s+
///   o200k_base   P?U*W+C? | P?U+W*C? | \p{N}{1,3}
///                | ?[^\s\p{L}\p{N}]+[\r\n/]* | \s*[\r\n]+ | \s+(?!\S) | \s+
///     with P = [^\r\n\p{L}\p{N}], U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}], W =
///     [\p{Ll}\p{Lm}\p{Lo}\p{M}], C = (?i:'s|'t|'re|'ve|'m|'ll|'d)
///
/// Each function tells how many bytes of `rest`, all the text that is left, its first piece has.
/// `rest` is valid UTF-8 and not empty. Pure.
std::size_t cl100k_piece(std::string_view rest) noexcept;
std::size_t o200k_piece(std::string_view rest) noexcept;

}  // namespace sluice
