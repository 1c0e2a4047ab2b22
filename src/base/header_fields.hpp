#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

/// The header fields of an HTTP message in the order they came: names as they were sent, and each
/// value of a name that came more than once. One buffer holds them all, so that a field costs no
/// allocation of its own.
///
/// A value, as safe among threads as a std::string; what it hands out refers into it.
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
    field operator*() const;
    iterator& operator++();
    iterator operator++(int) {
      const iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const iterator&) const = default;

   private:
    const char* at_ = nullptr;
  };

  /// Reserves memory for the fields of a head of that size, in bytes.
  void reserve(std::size_t head_bytes);
  void add(std::string_view name, std::string_view value);

  /// The last value of a name, in any case of its letters; nothing where there is none.
  std::optional<std::string_view> last(std::string_view name) const;

  bool empty() const noexcept { return bytes_.empty(); }
  iterator begin() const { return iterator(bytes_.data()); }
  iterator end() const { return iterator(bytes_.data() + bytes_.size()); }

 private:
  std::string bytes_;  // of each field: both lengths, the name, the value
};

/// Whether two names of fields are the same: the case of ASCII letters does not count.
bool same_name(std::string_view a, std::string_view b) noexcept;

}  // namespace sluice
