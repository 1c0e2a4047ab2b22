#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "sluice/job.hpp"
#include "sluice/prices.hpp"

namespace sluice {

/// Why one side of a request, its prompt or its reply, cannot be counted to the token.
enum class audit_gap : std::uint8_t {
  none,
  unknown_vocabulary,    ///< the model's tokenizer is not known, or not built in
  prompt_not_text,       ///< images, audio or files
  prompt_estimated,      ///< functions, formats, a framing that is not documented
  completion_not_text,   ///< calls of functions, audio, a character that was cut in two
  completion_not_shown,  ///< more was written than is told: best_of, a stop sequence, predictions
  reasoning_not_told,    ///< thoughts may be among the tokens, and usage does not say how many
};

/// The name of the reason in documents.
std::string_view to_string(audit_gap gap) noexcept;

/// What is kept of a request until its reply comes by: twelve bytes, since there may be ten
/// million.
struct audited_prompt {
  std::uint32_t tokens = 0;
  std::uint32_t opening = 0;  ///< of shared_openings
  endpoint target = endpoint::chat_completions;
  audit_gap gap = audit_gap::none;             ///< of the prompt; `none`: the count is exact
  audit_gap completion_gap = audit_gap::none;  ///< what the request already says of its reply
};

/// Counts a request's prompt with the model's own tokenizer. Pure.
audited_prompt audit_prompt(const request& asked);

/// A count that the relay told beside the one made here.
struct audited_count {
  std::int64_t reported = 0;
  std::int64_t counted = 0;

  std::int64_t excess() const noexcept { return reported > counted ? reported - counted : 0; }
  audited_count& operator+=(const audited_count& other) noexcept {
    reported += other.reported;
    counted += other.counted;
    return *this;
  }
};

/// One request with its reply, counted again.
struct audited_request {
  std::optional<audited_count> prompt;      ///< nothing: `prompt_gap` says why
  std::optional<audited_count> completion;  ///< without the tokens of reasoning, which nobody sees
  audit_gap prompt_gap = audit_gap::none;
  audit_gap completion_gap = audit_gap::none;

  /// Tokens that were reported beyond the counts; a side that was told too low hides none of the
  /// other's.
  std::int64_t excess_tokens() const noexcept;
};

/// Holds the usage that a relay reported against the counts. `reply_body` is the whole object of
/// the reply, in valid JSON. The token that ends a choice is taken for reported or not, whichever
/// is nearer the report: what serves the model decides whether it counts. Pure.
audited_request audit_reply(const audited_prompt& prompt, std::string_view model,
                            const token_usage& usage, std::string_view reply_body);

/// What the tokens in excess cost: the price of the reported usage less the price of the usage with
/// the counts in its place, where they are lower. Never negative.
std::optional<usd> excess_cost(const audited_request& audited, const token_usage& usage,
                               const model_prices& price, const serving& how);

/// What the reply cost more than if that number of its prompt's tokens had been read from the
/// cache. Zero if the model has no lower price for such tokens; nothing: unknown.
std::optional<usd> unread_cost(std::int64_t tokens, const token_usage& usage,
                               const model_prices& price, const serving& how);

}  // namespace sluice
