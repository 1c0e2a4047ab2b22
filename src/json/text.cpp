#include "json/text.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>

#include "json/plain_prefix.hpp"
#include "json/walk.hpp"

namespace sluice {
namespace {

constexpr std::string_view replacement_character = "\xEF\xBF\xBD";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// The value of a hexadecimal digit, or -1.
int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The code unit of the escape `\uXXXX` at `at`, or -1.
int escaped_unit(std::string_view text, std::size_t at) {
  if (text.size() < at + 6 || text[at] != '\\' || text[at + 1] != 'u') return -1;
  int unit = 0;
  for (std::size_t i = at + 2; i < at + 6; ++i) {
    const int digit = hex_value(text[i]);
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

bool is_high_surrogate(int unit) {
  return unit >= 0xD800 && unit <= 0xDBFF;
}
bool is_low_surrogate(int unit) {
  return unit >= 0xDC00 && unit <= 0xDFFF;
}

/// For text that the fast parser does not accept, and for the reason of an error.
class checker : public json_walk<checker> {
 public:
  using json_walk::json_walk;
};

class depth_meter : public json_walk<depth_meter> {
 public:
  using json_walk::json_walk;

  void on_open(char /*bracket*/) { deepest_ = std::max(deepest_, depth() + 1); }
  std::size_t deepest() const noexcept { return deepest_; }

 private:
  std::size_t deepest_ = 0;
};

/// The length of the UTF-8 sequence at `at`, or 0 if there is none (Unicode, table 3-7).
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
  };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned lead = byte(0);
  const unsigned second = byte(1);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return continues(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const bool overlong = lead == 0xE0 && second < 0xA0;
    const bool surrogate = lead == 0xED && second > 0x9F;
    return continues(1) && continues(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const bool overlong = lead == 0xF0 && second < 0x90;
    const bool too_big = lead == 0xF4 && second > 0x8F;
    return continues(1) && continues(2) && continues(3) && !overlong && !too_big ? 4 : 0;
  }
  return 0;
}

bool is_valid_utf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size());
}

/// True for valid JSON with ordinary numbers and paired surrogates. The parser is reused by later
/// calls, but the memory for a very large text is released.
bool fast_parser_takes(std::string_view text) {
  constexpr std::size_t huge = std::size_t{1} << 20;
  if (text.empty()) return false;  // an empty text may have a null pointer
  static thread_local simdjson::dom::parser kept;
  if (text.size() < huge) return kept.parse(text.data(), text.size()).error() == simdjson::SUCCESS;
  simdjson::dom::parser passing;
  return passing.parse(text.data(), text.size()).error() == simdjson::SUCCESS;
}

void append_utf8(std::string& out, unsigned point) {
  const auto add = [&](unsigned byte) { out += static_cast<char>(byte); };
  const auto rest = [&](unsigned shift) { add(0x80U | (point >> shift & 0x3FU)); };
  if (point < 0x80) {
    add(point);
  } else if (point < 0x800) {
    add(0xC0U | point >> 6U);
    rest(0);
  } else if (point < 0x10000) {
    add(0xE0U | point >> 12U);
    rest(6);
    rest(0);
  } else {
    add(0xF0U | point >> 18U);
    rest(12);
    rest(6);
    rest(0);
  }
}

/// The surrogate that the three bytes at `at` encode in WTF-8; 0 if they encode none.
unsigned surrogate_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  if (text.size() < at + 3 || byte(0) != 0xED || byte(1) < 0xA0 || byte(1) > 0xBF ||
      (byte(2) & 0xC0U) != 0x80U) {
    return 0;
  }
  return 0xD000U | (byte(1) & 0x3FU) << 6U | (byte(2) & 0x3FU);
}

/// The character that a backslash and `c` encode; NUL if there is none.
char unescaped(char c) {
  constexpr std::string_view letters = "\"\\/bfnrt";
  constexpr std::string_view meant = "\"\\/\b\f\n\r\t";
  const std::size_t at = letters.find(c);
  return at == std::string_view::npos ? '\0' : meant[at];
}

/// The escape for `c` inside a JSON string; empty if `c` needs none or has no short one.
std::string_view escape_of(char c) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return {};
  }
}

/// Appends valid UTF-8 as the content of a JSON string, without the quotes.
void append_escaped(std::string& out, std::string_view text) {
  std::size_t done = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, done, i - done);
    done = i + 1;
    if (const std::string_view escape = escape_of(c); !escape.empty()) {
      out += escape;
    } else {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    }
  }
  out.append(text, done);
}

}  // namespace

std::optional<std::string> json_fault(std::string_view text) {
  if (fast_parser_takes(text)) return std::nullopt;
  if (!is_valid_utf8(text)) return "invalid UTF-8";
  checker walk(text);
  if (walk.run()) return std::nullopt;
  return walk.fault();
}

bool is_nested_deeper(std::string_view text, std::size_t most) {
  if (text.size() / 2 <= most) return false;
  // Few texts contain that many brackets at all, so they are counted first.
  const auto brackets =
      std::count_if(text.begin(), text.end(), [](char c) { return c == '{' || c == '['; });
  if (static_cast<std::size_t>(brackets) <= most) return false;
  depth_meter meter(text);
  meter.run();
  return meter.deepest() > most;
}

std::string json_compact(std::string_view text) {
  std::string out(text.size() + simdjson::SIMDJSON_PADDING, '\0');
  std::size_t size = 0;
  if (simdjson::minify(text.data(), text.size(), out.data(), size) != simdjson::SUCCESS) {
    return std::string(text);
  }
  out.resize(size);
  return out;
}

void append_json_quoted(std::string& out, std::string_view text) {
  out += '"';
  if (plain_prefix(text, true) == text.size()) {
    out += text;
  } else if (is_valid_utf8(text)) {
    append_escaped(out, text);
  } else {
    append_escaped(out, valid_utf8(std::string(text)));
  }
  out += '"';
}

void append_json_wtf8(std::string& out, std::string_view text) {
  if (is_valid_utf8(text)) return append_json_quoted(out, text);
  out += '"';
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const unsigned surrogate = surrogate_at(text, at);
    if (surrogate == 0) continue;
    append_escaped(out, valid_utf8(std::string(text.substr(done, at - done))));
    fmt::format_to(std::back_inserter(out), "\\u{:04x}", surrogate);
    done = at + 3;
    at += 2;
  }
  append_escaped(out, valid_utf8(std::string(text.substr(done))));
  out += '"';
}

std::string json_quote(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 2);
  append_json_quoted(out, text);
  return out;
}

std::string valid_utf8(std::string text) {
  if (is_valid_utf8(text)) return text;
  std::string out;
  out.reserve(text.size() + 16);
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text, i);
    out += length == 0 ? replacement_character : std::string_view(text).substr(i, length);
    i += length == 0 ? 1 : length;
  }
  return out;
}

std::string_view utf8_prefix(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0U) == 0x80U) --bytes;
  return text.substr(0, bytes);
}

std::optional<std::string> json_unescaped(std::string_view text, bool keep_lone_surrogates) {
  if (!is_valid_utf8(text)) return std::nullopt;
  std::string out;
  out.reserve(text.size());
  for (;;) {
    const std::size_t plain = std::min(text.find('\\'), text.size());
    out += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) return out;
    const int unit = escaped_unit(text, 0);
    if (unit < 0) {
      const char meant = text.size() < 2 ? '\0' : unescaped(text[1]);
      if (meant == '\0') return std::nullopt;
      out += meant;
      text.remove_prefix(2);
      continue;
    }
    constexpr std::size_t escape = 6;
    auto point = static_cast<unsigned>(unit);
    const int second = is_high_surrogate(unit) ? escaped_unit(text, escape) : -1;
    const bool paired = is_low_surrogate(second);
    if (paired) {
      point = 0x10000U + ((point & 0x3FFU) << 10U) + (static_cast<unsigned>(second) & 0x3FFU);
    } else if (!keep_lone_surrogates && (is_high_surrogate(unit) || is_low_surrogate(unit))) {
      point = 0xFFFD;
    }
    append_utf8(out, point);
    text.remove_prefix(paired ? 2 * escape : escape);
  }
}

std::string without_lone_surrogates(std::string text) {
  for (std::size_t at = text.find('\\'); at != std::string::npos; at = text.find('\\', at)) {
    const int unit = escaped_unit(text, at);
    if (unit < 0) {
      at += 2;  // the escaped character may itself be a backslash
    } else if (is_high_surrogate(unit) && is_low_surrogate(escaped_unit(text, at + 6))) {
      at += 12;
    } else {
      if (is_high_surrogate(unit) || is_low_surrogate(unit)) text.replace(at, 6, "\\ufffd");
      at += 6;
    }
  }
  return text;
}

}  // namespace sluice
