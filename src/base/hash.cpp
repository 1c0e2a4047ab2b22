#include "base/hash.hpp"

#include <fmt/format.h>
#include <xxhash.h>

namespace sluice {

hash128 hash_of(std::string_view text) noexcept {
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return {hash.high64, hash.low64};
}

hex_digits::hex_digits(const hash128& hash) noexcept {
  for (std::size_t i = 0; i < 16; ++i) {
    text_[15 - i] = "0123456789abcdef"[(hash.high >> (4 * i)) & 15U];
    text_[31 - i] = "0123456789abcdef"[(hash.low >> (4 * i)) & 15U];
  }
}

std::string digest_of(std::string_view endpoint, std::string_view body) {
  const hex_digits body_hash(hash_of(body));
  fmt::basic_memory_buffer<char, 128> text;  // on the stack, since endpoints have short names
  text.append(endpoint);
  text.push_back('\n');
  text.append(std::string_view(body_hash));
  return std::string(hex_digits(hash_of({text.data(), text.size()})));
}

}  // namespace sluice
