#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <bit>
#include <cstddef>
#include <string_view>

namespace sluice {

#ifdef __SSE2__
/// One bit for each of the 16 bytes at `bytes` that must be escaped in a JSON string; the lowest
/// bit is for the first byte. With `ascii_only`, the bytes that are not ASCII count, too.
inline unsigned escapes_in_16(const char* bytes, bool ascii_only) {
  const __m128i read = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  const auto are = [&](char c) { return _mm_cmpeq_epi8(read, _mm_set1_epi8(c)); };
  const __m128i controls = _mm_cmpeq_epi8(_mm_min_epu8(read, _mm_set1_epi8(0x1F)), read);
  __m128i stops = _mm_or_si128(controls, _mm_or_si128(are('"'), are('\\')));
  if (ascii_only) stops = _mm_or_si128(stops, read);  // only the high bit of each byte is used
  return static_cast<unsigned>(_mm_movemask_epi8(stops));
}
#endif

/// The number of bytes at the start of `text` that need no escape in a JSON string: those before
/// the first quote, backslash or control character, and with `ascii_only` also before the first
/// byte that is not ASCII. Pure. Inline, because most strings of JSON are short.
inline std::size_t plain_prefix(std::string_view text, bool ascii_only = false) {
  std::size_t at = 0;
#ifdef __SSE2__
  for (; at + 16 <= text.size(); at += 16) {
    const unsigned stops = escapes_in_16(text.data() + at, ascii_only);
    if (stops != 0) return at + static_cast<std::size_t>(std::countr_zero(stops));
  }
#endif
  const auto plain = [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte != '"' && byte != '\\' && (byte < 0x80 || !ascii_only);
  };
  while (at < text.size() && plain(text[at])) ++at;
  return at;
}

}  // namespace sluice
