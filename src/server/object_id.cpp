#include "server/object_id.hpp"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <system_error>

namespace sluice::server {
namespace {

constexpr std::string_view digits =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::size_t length = 24;

bool is_digit(char c) noexcept {
  return digits.find(c) != std::string_view::npos;
}

}  // namespace

std::string new_object_id(std::string_view prefix) {
  std::string id(prefix);
  // Bytes from this one on are left out, so that each digit is equally likely.
  constexpr std::size_t fair = 256 / digits.size() * digits.size();
  while (id.size() < prefix.size() + length) {
    std::array<unsigned char, 2 * length> bytes{};
    if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
      throw std::system_error(errno, std::generic_category(), "getrandom");
    }
    for (const unsigned char byte : bytes) {
      if (byte < fair && id.size() < prefix.size() + length) id += digits[byte % digits.size()];
    }
  }
  return id;
}

bool is_object_id(std::string_view text, std::string_view prefix) noexcept {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return text.size() == length && std::all_of(text.begin(), text.end(), is_digit);
}

}  // namespace sluice::server
