#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/job.hpp"
#include "sluice/prices.hpp"

namespace sluice {

// Bounds are correct for every way in which a relay may read the body. If a name occurs twice,
// parsers take the first or the last member, and Go's encoding/json ignores case in names. So a
// count is the largest that may be read. If it is null, or its name is written in another case, it
// may also be read as missing. A part or a tool counts as anything that one of its readings says.

/// The largest number of tokens for which one attempt can be billed.
struct token_bound {
  std::int64_t prompt = 0;
  std::int64_t completion = 0;  ///< sum over all choices
  std::int64_t replies = 1;     ///< number of choices and candidates; each ends at the limit

  usd cost(const model_prices::bound& rates) const noexcept;
};

/// The largest number of tokens that the body allows for each choice; nothing if it sets no limit.
/// Pure.
std::optional<std::int64_t> named_output_limit(const request& asked);

/// The models that may be read in the body, the request's own first. Pure.
std::vector<std::string> named_models(const request& asked);

/// Values for a bound that the body does not set.
struct bound_defaults {
  std::optional<std::int64_t> reply_tokens = {};  ///< for a model without a known output limit
  /// The service tier of the account; empty: unknown.
  std::string tier = {};
};

/// Computes the bound of a request's tokens from its body alone, for replies of `model`. It counts
/// no tokens: a text has at most one token per byte, an image has at most the number in the model's
/// rule, and each choice ends at the body's own limit, otherwise at `model_limit`, otherwise at
/// `assumed`. If `model` is empty, the model is unknown. The error is a sentence without its
/// subject that says why there is no bound: a part that is neither text nor an image with a known
/// rule, input that is stored elsewhere, tools or a model that fetch more input, a member that may
/// change the price, a count that is not a plain whole number, no output limit, or too many models.
/// Pure.
boost::system::result<token_bound, std::string> bound_tokens(
    const request& asked, std::string_view model, std::optional<std::int64_t> model_limit,
    std::optional<std::int64_t> assumed);

/// What to do about such an error, as an imperative sentence without its full stop. Pure.
std::string advice_on(std::string_view why_no_bound);

/// A tighter bound of the prompt, found by counting its tokens. If the count is exact, the bound is
/// the count plus a margin, because some models frame messages differently from OpenAI's (one token
/// for each message or input, and eight more), plus one token per byte for each member of the body
/// that may become part of the prompt. Otherwise it is `by_bytes`, the bound of bound_tokens(). It
/// is correct for the model that the body names; a relay that serves another model under that name
/// counts differently. Pure.
std::int64_t bound_prompt(const request& asked, std::int64_t by_bytes);

/// The highest cost of one attempt, and the values from which it is computed.
struct cost_bound {
  token_bound tokens;
  model_prices::bound rates;

  usd cost() const noexcept { return tokens.cost(rates); }
};

/// Why the cost of an attempt has no bound.
struct no_bound {
  std::string why;  ///< a sentence without its full stop; it says what to do
};

/// The highest rates at which the model may be billed for this request, at the most expensive tier
/// that may be read in its body. `relay`: the relay that gets the request; nothing: any relay may
/// get it. Pure.
boost::system::result<model_prices::bound, no_bound> bound_rates(
    const request& asked, const std::string& model, std::int64_t most_prompt_tokens,
    const relay_prices& prices, std::optional<std::string_view> relay,
    const bound_defaults& defaults);

/// How the request will probably be served if its attempt begins and ends at this time, in seconds
/// since the epoch: at the tier in its body, otherwise at the account's, otherwise at the standard
/// tier, which is empty; and at the speed and the place in its body. Pure.
serving likely_serving(const request& asked, const bound_defaults& defaults, double unix_time);

/// The bound of the cost of one attempt, from the bytes of the request. If the request names
/// several models, it is that of the most expensive one. `relay`: as in bound_rates(). Pure.
boost::system::result<cost_bound, no_bound> bound_cost(const request& asked,
                                                       const relay_prices& prices,
                                                       std::optional<std::string_view> relay,
                                                       const bound_defaults& defaults);

/// Sets the cost bound of the request (`most` and its parts) and `model_in_doubt`, with
/// bound_cost() and the tighter bound of its prompt. This counts its tokens, which takes time.
/// Returns nothing on success. Pure.
std::optional<no_bound> set_cost_bound(request& asked, const relay_prices& prices,
                                       std::optional<std::string_view> relay,
                                       const bound_defaults& defaults);

}  // namespace sluice
