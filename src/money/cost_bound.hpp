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

// Bounds hold however a relay reads the body: where a member stands twice, parsers take the first
// or the last, and Go's encoding/json takes names without regard to case. A count is the largest
// that can be read, null and a name in other letters may also be read as no count, and a part or a
// tool may be whatever one of its readings says.

/// The most tokens that one attempt can be billed for.
struct token_bound {
  std::int64_t prompt = 0;
  std::int64_t completion = 0;  ///< of all choices together
  std::int64_t replies = 1;     ///< choices and candidates, of which each ends at the limit

  usd cost(const model_prices::bound& rates) const noexcept;
};

/// The most tokens that the body lets each choice have; nothing where it does not say. Pure.
std::optional<std::int64_t> named_output_limit(const request& asked);

/// The models that the body may be read to ask for, the request's own first. Pure.
std::vector<std::string> named_models(const request& asked);

/// What a bound relies on where the body does not say it.
struct bound_defaults {
  std::optional<std::int64_t> reply_tokens = {};  ///< of a model without a known output limit
  /// The service tier of the account; empty: not known.
  std::string tier = {};
};

/// Bounds the tokens of a request by its body alone, without counting any, where `model` answers:
/// no text has more tokens than bytes, an image no more than the model's rule gives one, and each
/// choice ends at the body's own limit, else at `model_limit`, else at `assumed`. An empty model is
/// an unknown one. The error is a sentence without its subject, why there is no bound: a part that
/// is neither text nor an image that the model has a rule for, input that is stored elsewhere,
/// tools that fetch more, what may change the price, a count that is no plain whole number, no
/// limit of the output, or too many models. Pure.
boost::system::result<token_bound, std::string> bound_tokens(
    const request& asked, std::string_view model, std::optional<std::int64_t> model_limit,
    std::optional<std::int64_t> assumed);

/// What to do about such an error, in an imperative sentence without its full stop. Pure.
std::string advice_on(std::string_view why_no_bound);

/// A closer bound of the prompt of a request that has one, by counting its tokens: where the count
/// is exact, that, with a margin for models whose messages are framed otherwise than OpenAI's (a
/// token for each message or input, and eight more), and a token a byte for every member of the
/// body that is not known to leave the prompt alone. Else `by_bytes`, the bound of bound_tokens().
/// It holds for the model that the body names; a relay that serves another one under that name
/// counts otherwise. Pure.
std::int64_t bound_prompt(const request& asked, std::int64_t by_bytes);

/// What one attempt costs at most, and what that follows from.
struct cost_bound {
  token_bound tokens;
  model_prices::bound rates;

  usd cost() const noexcept { return tokens.cost(rates); }
};

/// Why an attempt's cost has no bound.
struct no_bound {
  std::string why;  ///< a sentence without its full stop, which says what to do
};

/// The highest rates at which the model may be billed for this request, at the dearest tier that
/// its body may be read to ask for. `relay`: the one it goes to; nothing: it may go to any of them.
/// Pure.
boost::system::result<model_prices::bound, no_bound> bound_rates(
    const request& asked, const std::string& model, std::int64_t most_prompt_tokens,
    const relay_prices& prices, std::optional<std::string_view> relay,
    const bound_defaults& defaults);

/// The tier that is likely to serve the request: the one that its body asks for, else the
/// account's, else the standard one, which is empty. Pure.
std::string likely_tier(const request& asked, const bound_defaults& defaults);

/// Bounds what one attempt costs, by the bytes of the request: of the models that it names, the
/// dearest. `relay` as in bound_rates(). Pure.
boost::system::result<cost_bound, no_bound> bound_cost(const request& asked,
                                                       const relay_prices& prices,
                                                       std::optional<std::string_view> relay,
                                                       const bound_defaults& defaults);

/// Sets `most` and `model_in_doubt` of the request, by bound_cost() and the closer bound of its
/// prompt. Counts its tokens, which takes a while. Nothing: it is done. Pure.
std::optional<no_bound> set_cost_bound(request& asked, const relay_prices& prices,
                                       std::optional<std::string_view> relay,
                                       const bound_defaults& defaults);

}  // namespace sluice
