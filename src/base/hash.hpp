#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice {

/// A 128-bit XXH3 hash. Two ids of a job never have the same hash by accident; an attacker can make
/// two that do.
struct hash128 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  friend bool operator==(const hash128&, const hash128&) = default;
};

hash128 hash_of(std::string_view text) noexcept;

/// A hash as text of 32 hex digits.
class hex_digits {
 public:
  explicit hex_digits(const hash128& hash) noexcept;
  operator std::string_view() const noexcept { return {text_.data(), text_.size()}; }

 private:
  std::array<char, 32> text_;
};

/// The digest of a request: a hash of its endpoint and of its body without the stream fields, as 32
/// hex digits.
std::string digest_of(std::string_view endpoint, std::string_view body);

}  // namespace sluice
