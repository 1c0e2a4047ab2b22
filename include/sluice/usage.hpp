#pragma once

#include <cstdint>
#include <limits>
#include <string_view>

namespace sluice {

/// Upper bound for each token count of one reply. A relay that reports more is not believed.
constexpr std::int64_t most_tokens_of_a_reply = 1'000'000'000'000;

/// The sum of two counts >= 0; the largest possible value if it would overflow.
constexpr std::int64_t saturated_sum(std::int64_t a, std::int64_t b) noexcept {
  constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
  return a > largest - b ? largest : a + b;
}

/// Token counts of one reply, or sums over many. `cached_tokens` is part of `prompt_tokens`,
/// `reasoning_tokens` is part of `completion_tokens`.
struct token_usage {
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::int64_t reasoning_tokens = 0;

  std::int64_t total_tokens() const noexcept {
    return saturated_sum(prompt_tokens, completion_tokens);
  }

  token_usage& operator+=(const token_usage& other) noexcept {
    prompt_tokens = saturated_sum(prompt_tokens, other.prompt_tokens);
    cached_tokens = saturated_sum(cached_tokens, other.cached_tokens);
    completion_tokens = saturated_sum(completion_tokens, other.completion_tokens);
    reasoning_tokens = saturated_sum(reasoning_tokens, other.reasoning_tokens);
    return *this;
  }
  friend bool operator==(const token_usage&, const token_usage&) = default;
};

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
