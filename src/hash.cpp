#include "hash.hpp"

#include <fmt/format.h>
#include <xxhash.h>

namespace sluice {

hash128 hash_of(std::string_view text) noexcept {
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return {hash.high64, hash.low64};
}

std::string to_hex(const hash128& hash) { return fmt::format("{:016x}{:016x}", hash.high, hash.low); }

std::string digest_of(std::string_view endpoint, std::string_view body) {
  return to_hex(hash_of(std::string(endpoint) + '\n' + to_hex(hash_of(body))));
}

}  // namespace sluice
