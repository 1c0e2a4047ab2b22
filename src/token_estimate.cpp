#include "token_estimate.hpp"

#include <algorithm>

#include "cost_bound.hpp"

namespace sluice {

std::uint64_t token_estimate::of(const request& asked) const {
  constexpr std::uint64_t bytes_a_token = 4;
  std::uint64_t tokens = (asked.body.size() + bytes_a_token - 1) / bytes_a_token;
  if (asked.target == endpoint::embeddings) return tokens;
  const auto limit = named_output_limit(asked);
  tokens += asked.choices * static_cast<std::uint64_t>(limit ? static_cast<double>(*limit) : mean_);
  return tokens;
}

// Of the last hundred replies or so.
void token_estimate::learn(const token_usage& usage, unsigned choices) noexcept {
  constexpr std::uint64_t memory = 100;
  replies_ = std::min(replies_ + 1, memory);
  const double each = static_cast<double>(usage.completion_tokens) / std::max(choices, 1U);
  mean_ += (each - mean_) / static_cast<double>(replies_);
}

}  // namespace sluice
