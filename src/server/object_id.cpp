#include "server/object_id.hpp"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <system_error>

#include "base/ascii.hpp"

namespace sluice::server {
namespace {

constexpr std::string_view digits =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::size_t length = 24;

// Random bytes of the system, read in blocks. Every request gets an id, and a system call for each
// id would cost more than the rest of the function.
class random_bytes {
 public:
  unsigned char next() {
    if (used_ == block_.size()) fill();
    return block_[used_++];
  }

 private:
  void fill() {
    if (::getrandom(block_.data(), block_.size(), 0) != static_cast<ssize_t>(block_.size())) {
      throw std::system_error(errno, std::generic_category(), "getrandom");
    }
    used_ = 0;
  }

  // The system returns this number of bytes at once without interruption.
  std::array<unsigned char, 256> block_{};
  std::size_t used_ = block_.size();
};

}  // namespace

std::string new_object_id(std::string_view prefix) {
  // Bytes from this value on are skipped, so that each digit is equally likely.
  constexpr std::size_t fair = 256 / digits.size() * digits.size();
  thread_local random_bytes source;
  std::array<char, length> chosen{};
  for (auto at = chosen.begin(); at != chosen.end();) {
    const unsigned char byte = source.next();
    if (byte < fair) *at++ = digits[byte % digits.size()];
  }
  std::string id;
  id.reserve(prefix.size() + length);
  id.append(prefix).append(chosen.data(), chosen.size());
  return id;
}

bool is_object_id(std::string_view text, std::string_view prefix) noexcept {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return text.size() == length && std::all_of(text.begin(), text.end(), is_letter_or_digit);
}

}  // namespace sluice::server
