#pragma once

#include <cstddef>
#include <cstdint>
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

  /// Reserves memory for the fields of a head of `head_bytes` bytes.
  void reserve(std::size_t head_bytes);
  void add(std::string_view name, std::string_view value);

  /// The last value of a name, or nothing. The case of ASCII letters does not matter.
  std::optional<std::string_view> last(std::string_view name) const;

  bool empty() const noexcept { return bytes_.empty(); }
  iterator begin() const { return iterator(bytes_.data()); }
  iterator end() const { return iterator(bytes_.data() + bytes_.size()); }

 private:
  std::string bytes_;  // for each field: both lengths, the name, the value
};

/// Whether two field names are equal. The case of ASCII letters does not matter.
bool same_name(std::string_view a, std::string_view b) noexcept;

}  // namespace sluice
