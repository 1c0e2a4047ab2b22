#include "base/display_width.hpp"

#include <utf8proc.h>

#include <algorithm>

namespace sluice {
namespace {

constexpr std::string_view end_of_colours = "\x1b[0m";

// Splits a text into pieces. A piece is a character with the characters that join it, or a colour.
class pieces {
 public:
  struct piece {
    std::string_view text;
    std::size_t cells = 0;
    bool colour = false;
  };

  explicit pieces(std::string_view text) : rest_(text) {}

  bool next(piece& found) {
    if (rest_.empty()) return false;
    found = {};
    std::size_t size = colour_size();
    if (size > 0) {
      found.colour = true;
    } else {
      size = character_size(found.cells);
    }
    found.text = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

 private:
  // The size of the SGR escape sequence that the rest begins with; 0: there is none.
  std::size_t colour_size() const {
    constexpr std::string_view start = "\x1b[";
    if (!rest_.starts_with(start)) return 0;
    const std::size_t end = rest_.find_first_not_of("0123456789;", start.size());
    return end != std::string_view::npos && rest_[end] == 'm' ? end + 1 : 0;
  }

  // The code point at `at`. A byte that is not UTF-8 counts as one character that takes one cell.
  std::size_t code_point(std::size_t at, utf8proc_int32_t& found) const {
    const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(rest_.data()) + at;
    const auto size =
        utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(rest_.size() - at), &found);
    if (size > 0) return static_cast<std::size_t>(size);
    found = 0xFFFD;
    return 1;
  }

  std::size_t character_size(std::size_t& cells) const {
    utf8proc_int32_t before = 0;
    std::size_t end = code_point(0, before);
    cells = static_cast<std::size_t>(std::max(utf8proc_charwidth(before), 0));
    utf8proc_int32_t state = 0;
    while (end < rest_.size()) {
      utf8proc_int32_t next = 0;
      const std::size_t size = code_point(end, next);
      if (utf8proc_grapheme_break_stateful(before, next, &state)) break;
      cells += static_cast<std::size_t>(std::max(utf8proc_charwidth(next), 0));
      end += size;
      before = next;
    }
    return end;
  }

  std::string_view rest_;
};

}  // namespace

std::size_t display_width(std::string_view text) {
  std::size_t cells = 0;
  pieces all(text);
  for (pieces::piece one; all.next(one);) cells += one.cells;
  return cells;
}

std::string fitting(std::string_view text, std::size_t cells) {
  std::string kept;
  bool coloured = false;
  pieces all(text);
  for (pieces::piece one; all.next(one);) {
    if (one.cells > cells) {
      if (coloured) kept += end_of_colours;
      break;
    }
    cells -= one.cells;
    kept += one.text;
    if (one.colour) coloured = one.text != end_of_colours;
  }
  return kept;
}

}  // namespace sluice
