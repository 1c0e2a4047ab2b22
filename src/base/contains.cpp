#include "base/contains.hpp"

#ifdef __SSE2__
#include <immintrin.h>

#include <bit>
#endif

#include <cstddef>
#include <cstring>

namespace sluice {

#ifdef __SSE2__
namespace {

/// Whether the word begins at one of the places `at` + i for which bit i is set.
bool is_at_one_of(unsigned places, std::string_view text, std::size_t at,
                  std::string_view word) noexcept {
  for (; places != 0; places &= places - 1) {
    const char* const found = text.data() + at + std::countr_zero(places);
    // The second character rules out most places without a call.
    if (found[1] == word[1] && std::memcmp(found, word.data(), word.size()) == 0) return true;
  }
  return false;
}

// The two functions below compare the first and the last character of a word, of at least two
// characters, at many places at once, and the whole word only where both match
// (http://0x80.pl/articles/simd-strfind.html, "generic SIMD").

/// Whether the word begins at one of the 16 places from `at` on.
bool is_in_16(std::string_view text, std::size_t at, std::string_view word) noexcept {
  const auto equal = [&](std::size_t from, char c) {
    return _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + from)),
                          _mm_set1_epi8(c));
  };
  const auto both = static_cast<unsigned>(_mm_movemask_epi8(
      _mm_and_si128(equal(at, word.front()), equal(at + word.size() - 1, word.back()))));
  return is_at_one_of(both, text, at, word);
}

/// Whether the word begins at one of the places before `end`, a multiple of 32. Only for processors
/// with AVX2.
[[gnu::target("avx2")]] bool is_before(std::size_t end, std::string_view text,
                                       std::string_view word) noexcept {
  const __m256i first = _mm256_set1_epi8(word.front());
  const __m256i last = _mm256_set1_epi8(word.back());
  for (std::size_t at = 0; at < end; at += 32) {
    const char* const begin = text.data() + at;
    const __m256i begins = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(begin));
    const __m256i ends =
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(begin + word.size() - 1));
    const auto both = static_cast<unsigned>(_mm256_movemask_epi8(
        _mm256_and_si256(_mm256_cmpeq_epi8(begins, first), _mm256_cmpeq_epi8(ends, last))));
    if (both != 0 && is_at_one_of(both, text, at, word)) return true;
  }
  return false;
}

}  // namespace
#endif

bool contains(std::string_view text, std::string_view word) noexcept {
#ifdef __SSE2__
  constexpr std::size_t lanes = 16;
  const std::size_t least = word.size() - 1 + lanes;
  if (word.size() > 1 && text.size() >= least) {
    const std::size_t last = text.size() - least;
    std::size_t at = 0;
    if (__builtin_cpu_supports("avx2")) {
      at = (last + lanes) / 32 * 32;  // whole blocks of 32 places
      if (is_before(at, text, word)) return true;
    }
    for (; at < last; at += lanes) {
      if (is_in_16(text, at, word)) return true;
    }
    return is_in_16(text, last, word);  // this checks some places a second time
  }
#endif
  return text.find(word) != std::string_view::npos;
}

}  // namespace sluice
