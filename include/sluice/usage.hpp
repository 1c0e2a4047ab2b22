#pragma once

#include <cstdint>
#include <string_view>

namespace sluice {

/// Token counts of one reply. `cached_tokens` is a part of `prompt_tokens`, `reasoning_tokens` a
/// part of `completion_tokens`.
struct token_usage {
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::int64_t reasoning_tokens = 0;

  std::int64_t total_tokens() const noexcept { return prompt_tokens + completion_tokens; }

  token_usage& operator+=(const token_usage& other) noexcept {
    prompt_tokens += other.prompt_tokens;
    cached_tokens += other.cached_tokens;
    completion_tokens += other.completion_tokens;
    reasoning_tokens += other.reasoning_tokens;
    return *this;
  }
  friend bool operator==(const token_usage&, const token_usage&) = default;
};

/// Where the counts come from: nowhere, the relay's own report, or the tokenizer here.
enum class usage_source : std::uint8_t { none, reported, estimated };

constexpr std::string_view to_string(usage_source source) noexcept {
  switch (source) {
    case usage_source::none:
      return "none";
    case usage_source::reported:
      return "reported";
    case usage_source::estimated:
      return "estimated";
  }
  return "";
}

}  // namespace sluice
