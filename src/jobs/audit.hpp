#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "sluice/job.hpp"
#include "sluice/prices.hpp"

namespace sluice {

/// Why the tokens of a prompt or of a reply cannot be counted exactly.
enum class audit_gap : std::uint8_t {
  none,
  unknown_vocabulary,   ///< the model's tokenizer is unknown or not built in
  prompt_not_text,      ///< images, audio or files
  prompt_estimated,     ///< functions, response formats, or a message format that is not documented
  prompt_extended,      ///< may have had more messages than in the job: a rejected reply, and why
  completion_not_text,  ///< function calls, audio, or a character that was cut in two
  /// The model wrote more than the reply contains: best_of, a stop sequence, predictions.
  completion_not_shown,
  reasoning_not_told,  ///< the tokens may include reasoning, and usage does not say how much
};

/// The name of the reason in documents.
std::string_view to_string(audit_gap gap) noexcept;

/// What is kept of a request until its reply is read. It takes only twelve bytes, because there may
/// be ten million requests.
struct audited_prompt {
  std::uint32_t tokens = 0;
  std::uint32_t opening = 0;  ///< its id in shared_openings
  endpoint target = endpoint::chat_completions;
  audit_gap gap = audit_gap::none;  ///< of the prompt; `none`: the count is exact
  /// What the request alone already tells about its reply.
  audit_gap completion_gap = audit_gap::none;
};

/// Counts a request's prompt with the model's own tokenizer. Pure.
audited_prompt audit_prompt(const request& asked);

/// A token count that the relay reported, and the count that was made here.
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

/// One request with its reply, after its tokens were counted again.
struct audited_request {
  std::optional<audited_count> prompt;  ///< nothing: see `prompt_gap`
  /// Without reasoning tokens, whose text is not sent; nothing: see `completion_gap`.
  std::optional<audited_count> completion;
  audit_gap prompt_gap = audit_gap::none;
  audit_gap completion_gap = audit_gap::none;

  /// Tokens that were reported in excess of the counts. If one side was reported too low, that does
  /// not reduce the excess of the other side.
  std::int64_t excess_tokens() const noexcept;
};

/// Compares the usage that a relay reported with the counts. `reply_body` is the whole object of
/// the reply, as valid JSON. Some servers count the token that ends a choice and others do not, so
/// the interpretation that is nearer to the report is used. Pure.
audited_request audit_reply(const audited_prompt& prompt, std::string_view model,
                            const token_usage& usage, std::string_view reply_body);

/// The cost of the tokens in excess: the price of the reported usage, minus the price of the usage
/// in which lower counts replace the reported ones. Never negative.
std::optional<usd> excess_cost(const audited_request& audited, const token_usage& usage,
                               const model_prices& price, const serving& how);

/// The cost of the reply, minus what it would have cost if `tokens` tokens of its prompt had been
/// read from the cache. Zero if the model has no lower price for such tokens; nothing: unknown.
std::optional<usd> unread_cost(std::int64_t tokens, const token_usage& usage,
                               const model_prices& price, const serving& how);

}  // namespace sluice
