#include "base/header_fields.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace sluice {
namespace {

// Of a head that nothing is known of: enough for the fields of most.
constexpr std::size_t usual_size = 512;

char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

void header_fields::reserve(std::size_t head_bytes) {
  // Two lengths take 8 bytes, where ": " and CRLF took 4. That adds less than a quarter to a field,
  // which has 20 bytes on average.
  bytes_.reserve(head_bytes + head_bytes / 4);
}

void header_fields::add(std::string_view name, std::string_view value) {
  const lengths both{static_cast<std::uint32_t>(name.size()),
                     static_cast<std::uint32_t>(value.size())};
  std::array<char, sizeof both> written{};
  std::memcpy(written.data(), both.data(), sizeof both);
  if (bytes_.empty()) bytes_.reserve(usual_size);
  bytes_.append(written.data(), written.size()).append(name).append(value);
}

std::optional<std::string_view> header_fields::last(std::string_view name) const {
  std::optional<std::string_view> found;
  for (const field each : *this) {
    if (same_name(each.name, name)) found = each.value;
  }
  return found;
}

bool same_letters(std::string_view a, std::string_view b) noexcept {
  // Nearly all programs write a name in the same way.
  if (a == b) return true;
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace sluice
