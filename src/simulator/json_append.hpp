// Writes JSON text directly into strings. A JSON library would be too slow: the relay writes many
// thousands of replies per second.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <string>
#include <string_view>

namespace sluice::simulator {

/// A text that append() writes as a JSON string with quotes.
struct quoted {
  std::string_view text;
};

inline void append_one(std::string& out, std::string_view text) {
  out += text;
}

inline void append_one(std::string& out, std::integral auto number) {
  const fmt::format_int digits(number);
  out.append(digits.data(), digits.size());
}

inline void append_one(std::string& out, quoted value) {
  out += '"';
  std::size_t done = 0;
  for (std::size_t at = 0; at < value.text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(value.text[at]);
    if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
    out.append(value.text, done, at - done);
    done = at + 1;
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += static_cast<char>(byte);
    } else if (byte == '\n') {
      out += "\\n";
    } else {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
    }
  }
  out.append(value.text, done);
  out += '"';
}

template <class... Parts>
void append(std::string& out, const Parts&... parts) {
  (append_one(out, parts), ...);
}

/// The text with every `what` replaced by `by`.
inline std::string replaced(std::string_view text, std::string_view what, std::string_view by) {
  std::string out;
  std::size_t begin = 0;
  for (std::size_t at = 0; (at = text.find(what, begin)) != std::string_view::npos;
       begin = at + what.size())
    out.append(text, begin, at - begin).append(by);
  return out.append(text, begin);
}

}  // namespace sluice::simulator
