#include "base/printable.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>

#include "json/text.hpp"

namespace sluice {
namespace {

// The code point at `at` if it takes two or three bytes of UTF-8, else 0. No other multi-byte
// character needs an escape.
std::uint32_t character_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(text[at + i]));
  };
  if ((byte(0) & 0xE0U) == 0xC0U) return (byte(0) & 0x1FU) << 6U | (byte(1) & 0x3FU);
  if ((byte(0) & 0xF0U) != 0xE0U) return 0;
  return (byte(0) & 0x0FU) << 12U | (byte(1) & 0x3FU) << 6U | (byte(2) & 0x3FU);
}

// Characters above ASCII that a terminal acts on instead of printing them.
bool needs_escape(std::uint32_t c) {
  const bool control = c >= 0x80 && c <= 0x9F;
  const bool line_end = c == 0x2028 || c == 0x2029;
  const bool direction = (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
  return control || line_end || direction;
}

std::string escaped(std::string_view text, bool keep_newlines) {
  const std::string valid = valid_utf8(std::string(text));
  std::string out;
  out.reserve(valid.size());
  for (std::size_t at = 0; at < valid.size();) {
    const char c = valid[at];
    if (static_cast<unsigned char>(c) < 0x80) {
      const bool plain = (c >= ' ' && c != '\x7F') || (c == '\n' && keep_newlines);
      if (plain) {
        out += c;
      } else {
        fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned>(c));
      }
      ++at;
      continue;
    }
    const std::uint32_t character = character_at(valid, at);
    std::size_t end = at + 1;
    while (end < valid.size() && (static_cast<unsigned char>(valid[end]) & 0xC0U) == 0x80U) ++end;
    if (needs_escape(character)) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", character);
    } else {
      out.append(valid, at, end - at);
    }
    at = end;
  }
  return out;
}

}  // namespace

std::string printable_text(std::string_view text) {
  return escaped(text, false);
}

std::string printable_lines(std::string_view text) {
  return escaped(text, true);
}

}  // namespace sluice
