#include "base/contains.hpp"

#ifdef __SSE2__
#include <emmintrin.h>

#include <bit>
#endif

#include <cstddef>
#include <cstring>

namespace sluice {

#ifdef __SSE2__
namespace {

constexpr std::size_t lanes = 16;

/// Whether the word, of at least two characters, begins at one of the 16 places from `at` on.
bool is_at_one_of(std::string_view text, std::size_t at, std::string_view word) noexcept {
  const auto equal = [&](std::size_t from, char c) {
    return _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + from)),
                          _mm_set1_epi8(c));
  };
  auto both = static_cast<unsigned>(_mm_movemask_epi8(
      _mm_and_si128(equal(at, word.front()), equal(at + word.size() - 1, word.back()))));
  for (; both != 0; both &= both - 1) {
    const std::size_t found = at + static_cast<std::size_t>(std::countr_zero(both));
    if (std::memcmp(text.data() + found, word.data(), word.size()) == 0) return true;
  }
  return false;
}

}  // namespace
#endif

// Compares the first and the last character of the word at 16 places at once. It compares the whole
// word only where both match (http://0x80.pl/articles/simd-strfind.html, "generic SIMD").
bool contains(std::string_view text, std::string_view word) noexcept {
#ifdef __SSE2__
  const std::size_t least = word.size() - 1 + lanes;
  if (word.size() > 1 && text.size() >= least) {
    const std::size_t last = text.size() - least;
    for (std::size_t at = 0; at < last; at += lanes) {
      if (is_at_one_of(text, at, word)) return true;
    }
    return is_at_one_of(text, last, word);  // this checks some places a second time
  }
#endif
  return text.find(word) != std::string_view::npos;
}

}  // namespace sluice
