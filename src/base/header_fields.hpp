#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

/// The header fields of an HTTP message. Not synchronized: as thread safe as a std::string. The
/// views that it returns point into it.
///
/// Fields keep their order and the spelling of their names; a name may appear more than once. All
/// fields are in one buffer, so that a field needs no separate allocation.
class header_fields {
 public:
  struct field {
    std::string_view name;
    std::string_view value;
  };

  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = field;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = field;

    iterator() = default;
    explicit iterator(const char* at) : at_(at) {}
    field operator*() const {
      const auto [name, value] = lengths_at(at_);
      const char* const begin = at_ + sizeof(lengths);
      return {{begin, name}, {begin + name, value}};
    }
    iterator& operator++() {
      const auto [name, value] = lengths_at(at_);
      at_ += sizeof(lengths) + name + value;
      return *this;
    }
    iterator operator++(int) {
      const iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const iterator&) const = default;

   private:
    const char* at_ = nullptr;
  };

  /// Reserves memory for the fields of a head of `head_bytes` bytes.
  void reserve(std::size_t head_bytes);
  void add(std::string_view name, std::string_view value);

  /// The last value of a name, or nothing. The case of ASCII letters does not matter.
  std::optional<std::string_view> last(std::string_view name) const;

  /// Bytes of memory of all fields: a little more than they have in a message.
  std::size_t size() const noexcept { return bytes_.size(); }
  bool empty() const noexcept { return bytes_.empty(); }
  iterator begin() const { return iterator(bytes_.data()); }
  iterator end() const { return iterator(bytes_.data() + bytes_.size()); }

 private:
  // The lengths of a name and of its value. 32 bits are enough: the size of a head is limited.
  using lengths = std::array<std::uint32_t, 2>;
  static lengths lengths_at(const char* at) noexcept {
    lengths both{};
    std::memcpy(both.data(), at, sizeof both);
    return both;
  }

  std::string bytes_;  // for each field: both lengths, the name, the value
};

/// Whether two texts of the same length are equal. The case of ASCII letters does not matter.
bool same_letters(std::string_view a, std::string_view b) noexcept;

/// Whether two field names are equal. The case of ASCII letters does not matter. Most names differ
/// in their lengths already, and every field of a message is compared with many names.
inline bool same_name(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && same_letters(a, b);
}

}  // namespace sluice
