#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice {

/// 128 bits of XXH3: enough that two ids of a job never meet by chance; no defence against malice.
struct hash128 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  friend bool operator==(const hash128&, const hash128&) = default;
};

hash128 hash_of(std::string_view text) noexcept;

/// A hash in 32 hex digits.
class hex_digits {
 public:
  explicit hex_digits(const hash128& hash) noexcept;
  operator std::string_view() const noexcept { return {text_.data(), text_.size()}; }

 private:
  std::array<char, 32> text_;
};

/// The digest of a request: of its endpoint and its body before the stream fields, in 32 hex
/// digits.
std::string digest_of(std::string_view endpoint, std::string_view body);

}  // namespace sluice
