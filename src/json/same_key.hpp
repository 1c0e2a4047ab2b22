#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace sluice {

/// Whether two keys are the same. Faster than `==` for short texts, because it calls no function.
/// Pure.
inline bool same_key(std::string_view one, std::string_view other) noexcept {
  const std::size_t size = one.size();
  if (size != other.size()) return false;
  const auto differ = [&](std::size_t at, auto word) {
    auto theirs = word;
    std::memcpy(&word, one.data() + at, sizeof(word));
    std::memcpy(&theirs, other.data() + at, sizeof(theirs));
    return word != theirs;
  };
  if (size >= 8) {
    for (std::size_t at = 0; at + 8 < size; at += 8) {
      if (differ(at, std::uint64_t{0})) return false;
    }
    return !differ(size - 8, std::uint64_t{0});  // it may overlap the one before
  }
  if (size >= 4) return !differ(0, std::uint32_t{0}) && !differ(size - 4, std::uint32_t{0});
  if (size >= 2) return !differ(0, std::uint16_t{0}) && !differ(size - 2, std::uint16_t{0});
  return size == 0 || one.front() == other.front();
}

}  // namespace sluice
