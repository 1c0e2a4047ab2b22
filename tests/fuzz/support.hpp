#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::fuzz {

/// Aborts the process if a rule does not hold. libFuzzer reports that as a finding.
inline void require(bool holds, std::string_view what, std::string_view actual = {}) {
  if (holds) return;
  std::fprintf(stderr, "NOT SO: %.*s\n%.*s\n", static_cast<int>(what.size()), what.data(),
               static_cast<int>(actual.size()), actual.data());
  std::abort();
}

/// An input: a first line of choices, one digit each, and then a text. Missing choices are 0, so a
/// line end and a text are a valid input, too.
class input {
 public:
  input(const std::uint8_t* data, std::size_t size) {
    const std::string_view all(reinterpret_cast<const char*>(data), size);
    const std::size_t end = all.find('\n');
    choices_ = all.substr(0, end);
    if (end != std::string_view::npos) text_ = all.substr(end + 1);
  }

  /// The next choice, in [0, of).
  unsigned pick(unsigned of) {
    if (next_ == choices_.size()) return 0;
    return static_cast<unsigned char>(choices_[next_++] - '0') % of;
  }
  /// Random offsets in `text`. The remaining choices are the seed.
  std::vector<std::size_t> cuts(std::string_view text) {
    const std::string_view rest = choices_.substr(next_);
    std::seed_seq seed(rest.begin(), rest.end());
    std::minstd_rand random(seed);
    const auto rarity = 2 + random() % 60;
    std::vector<std::size_t> drawn;
    for (std::size_t at = 1; at < text.size(); ++at) {
      if (random() % rarity == 0) drawn.push_back(at);
    }
    return drawn;
  }
  std::string_view text() const { return text_; }

 private:
  std::string_view choices_;
  std::string_view text_;
  std::size_t next_ = 0;
};

/// A cut after every byte.
inline std::vector<std::size_t> every_byte(std::string_view text) {
  std::vector<std::size_t> cuts;
  for (std::size_t at = 1; at < text.size(); ++at) cuts.push_back(at);
  return cuts;
}

inline bool is_utf8(std::string_view text) {
  try {
    static_cast<void>(nlohmann::json(text).dump());
    return true;
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
}

/// One line of UTF-8, without control characters.
inline bool is_one_line(std::string_view text) {
  const bool plain =
      std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 0x20; });
  return plain && is_utf8(text);
}

enum class verdict : std::uint8_t { valid, invalid, undecided };

/// Whether another parser accepts a text without lone surrogates. This parser stops at a NUL and
/// skips a byte order mark, so this function checks both itself. Numbers outside the range of a
/// double are undecided.
inline verdict peer_verdict(std::string_view text) {
  if (text.find('\0') != std::string_view::npos || text.starts_with("\xEF\xBB\xBF")) {
    return verdict::invalid;
  }
  try {
    static_cast<void>(nlohmann::json::parse(text));
    return verdict::valid;
  } catch (const nlohmann::json::out_of_range&) {
    return verdict::undecided;
  } catch (const nlohmann::json::parse_error&) {
    return verdict::invalid;
  }
}

}  // namespace sluice::fuzz
