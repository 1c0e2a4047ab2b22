#include "hash.hpp"

#include <xxhash.h>

namespace sluice {

hash128 hash_of(std::string_view text) noexcept {
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return {hash.high64, hash.low64};
}

std::string to_hex(const hash128& hash) {
  std::string text(32, '0');
  for (std::size_t i = 0; i < 16; ++i) {
    text[15 - i] = "0123456789abcdef"[(hash.high >> (4 * i)) & 15U];
    text[31 - i] = "0123456789abcdef"[(hash.low >> (4 * i)) & 15U];
  }
  return text;
}

std::string digest_of(std::string_view endpoint, std::string_view body) {
  return to_hex(hash_of(std::string(endpoint) + '\n' + to_hex(hash_of(body))));
}

}  // namespace sluice
