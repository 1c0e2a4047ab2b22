#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string_view>

namespace sluice {

/// Upper bound for each token count of one reply. A larger number from a relay is not accepted.
constexpr std::int64_t most_tokens_of_a_reply = 1'000'000'000'000;

/// The sum of two counts >= 0; the largest possible value if it would overflow.
constexpr std::int64_t saturated_sum(std::int64_t a, std::int64_t b) noexcept {
  constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
  return a > largest - b ? largest : a + b;
}

/// Token counts of one reply, or sums over many. The other counts are parts of `prompt_tokens` or
/// of `completion_tokens`. They do not overlap, except `reasoning_tokens`.
struct token_usage {
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;  ///< of the prompt: read from the cache
  std::int64_t completion_tokens = 0;
  std::int64_t reasoning_tokens = 0;    ///< of the completion
  std::int64_t cache_write_tokens = 0;  ///< of the prompt: written to the cache for its usual time
  std::int64_t cache_write_1h_tokens = 0;  ///< of the prompt: written to the cache for an hour
  std::int64_t audio_prompt_tokens = 0;
  std::int64_t image_prompt_tokens = 0;
  std::int64_t audio_completion_tokens = 0;
  std::int64_t image_completion_tokens = 0;

  std::int64_t total_tokens() const noexcept {
    return saturated_sum(prompt_tokens, completion_tokens);
  }
  /// Whether something was read from the provider's cache, or written to it.
  bool uses_cache() const noexcept {
    return cached_tokens > 0 || cache_write_tokens > 0 || cache_write_1h_tokens > 0;
  }

  token_usage& operator+=(const token_usage& other) noexcept {
    for (const auto count : counts) this->*count = saturated_sum(this->*count, other.*count);
    return *this;
  }
  /// Takes back what was added.
  token_usage& operator-=(const token_usage& other) noexcept {
    for (const auto count : counts)
      this->*count = std::max<std::int64_t>(this->*count - other.*count, 0);
    return *this;
  }
  friend bool operator==(const token_usage&, const token_usage&) = default;

  /// All counts, in the order of the fields.
  static const std::array<std::int64_t token_usage::*, 10> counts;
};

inline constexpr std::array<std::int64_t token_usage::*, 10> token_usage::counts = {
    &token_usage::prompt_tokens,           &token_usage::cached_tokens,
    &token_usage::completion_tokens,       &token_usage::reasoning_tokens,
    &token_usage::cache_write_tokens,      &token_usage::cache_write_1h_tokens,
    &token_usage::audio_prompt_tokens,     &token_usage::image_prompt_tokens,
    &token_usage::audio_completion_tokens, &token_usage::image_completion_tokens};

/// Where the counts come from: nowhere, the relay's report, or the tokenizer here.
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
