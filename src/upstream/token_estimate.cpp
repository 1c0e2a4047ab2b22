#include "upstream/token_estimate.hpp"

#include <algorithm>

#include "money/cost_bound.hpp"
#include "tokens/prompt_tokens.hpp"

namespace sluice {

token_estimate::need token_estimate::of(const request& asked) {
  need told{.known = prompt_tokens(asked.target, asked.model, asked.body).tokens};
  if (asked.target == endpoint::embeddings) return told;
  if (const auto limit = named_output_limit(asked)) {
    told.known += asked.choices * static_cast<std::uint64_t>(*limit);
  } else {
    told.open_choices = asked.choices;
  }
  return told;
}

std::uint64_t token_estimate::tokens(const need& asked) const noexcept {
  return asked.known + static_cast<std::uint64_t>(asked.open_choices * mean_);
}

// Of the last hundred replies or so.
void token_estimate::learn(const token_usage& usage, unsigned choices) noexcept {
  constexpr std::uint64_t memory = 100;
  replies_ = std::min(replies_ + 1, memory);
  const double each = static_cast<double>(usage.completion_tokens) / std::max(choices, 1U);
  mean_ += (each - mean_) / static_cast<double>(replies_);
}

}  // namespace sluice
