#include "base/contains.hpp"

#ifdef __SSE2__
#include <emmintrin.h>

#include <bit>
#endif

#include <cstddef>
#include <cstring>

namespace sluice {

// Compares the first and the last character of the word at 16 places at a time, and the whole word
// only where both match (http://0x80.pl/articles/simd-strfind.html, "generic SIMD").
bool contains(std::string_view text, std::string_view word) noexcept {
  std::size_t at = 0;
#ifdef __SSE2__
  constexpr std::size_t lanes = 16;
  if (word.size() > 1) {
    const __m128i first = _mm_set1_epi8(word.front());
    const __m128i last = _mm_set1_epi8(word.back());
    const std::size_t to_last = word.size() - 1;
    for (; at + to_last + lanes <= text.size(); at += lanes) {
      const auto load = [&](std::size_t from) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + from));
      };
      auto both = static_cast<unsigned>(_mm_movemask_epi8(_mm_and_si128(
          _mm_cmpeq_epi8(load(at), first), _mm_cmpeq_epi8(load(at + to_last), last))));
      for (; both != 0; both &= both - 1) {
        const std::size_t found = at + static_cast<std::size_t>(std::countr_zero(both));
        if (std::memcmp(text.data() + found, word.data(), word.size()) == 0) return true;
      }
    }
  }
#endif
  return text.find(word, at) != std::string_view::npos;
}

}  // namespace sluice
