#include "upstream/token_estimate.hpp"

#include <algorithm>

#include "money/cost_bound.hpp"
#include "tokens/prompt_tokens.hpp"

namespace sluice {

token_estimate::need token_estimate::of(const request& item) {
  need tokens{.known = prompt_tokens(item.target, item.model, item.body).tokens};
  if (item.target == endpoint::embeddings) return tokens;
  if (const auto limit = named_output_limit(item)) {
    tokens.known += item.choices * static_cast<std::uint64_t>(*limit);
  } else {
    tokens.open_choices = item.choices;
  }
  return tokens;
}

std::uint64_t token_estimate::tokens(const need& item) const noexcept {
  return item.known + static_cast<std::uint64_t>(item.open_choices * mean_);
}

// Updates the mean length of about the last hundred replies.
void token_estimate::learn(const token_usage& usage, unsigned choices) noexcept {
  constexpr std::uint64_t memory = 100;
  replies_ = std::min(replies_ + 1, memory);
  const double each = static_cast<double>(usage.completion_tokens) / std::max(choices, 1U);
  mean_ += (each - mean_) / static_cast<double>(replies_);
}

}  // namespace sluice
