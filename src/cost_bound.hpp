#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "sluice/job.hpp"
#include "sluice/money.hpp"

namespace sluice {

/// The most tokens that one attempt can be billed for.
struct token_bound {
  std::int64_t prompt = 0;
  std::int64_t completion = 0;  ///< of all choices together

  usd cost(const token_price& price) const noexcept;
};

/// The most tokens that the body lets each choice have; nothing where it does not say. Pure.
std::optional<std::int64_t> named_output_limit(const request& asked);

/// Bounds the tokens of a request by its body alone, without counting any: no text has more tokens
/// than bytes, and each choice ends at the body's own limit, else at `model_limit`, else at
/// `assumed`. The error is a sentence without its subject, why there is no bound: a part that is no
/// text (images, audio), input that is stored elsewhere, tools that fetch more, a count that is no
/// plain whole number, or no limit of the output. Pure.
boost::system::result<token_bound, std::string> bound_tokens(
    const request& asked, std::optional<std::int64_t> model_limit,
    std::optional<std::int64_t> assumed);

/// A closer bound of the prompt of a request that has one, by counting its tokens: where the count
/// is exact, that, with a margin for models whose messages are framed otherwise than OpenAI's (a
/// token for each message or input, and eight more), and a token a byte for every member of the
/// body that is not known to leave the prompt alone. Else a token a byte of the body, as above. It
/// holds for the model that the body names; a relay that serves another one under that name counts
/// otherwise. Pure.
std::int64_t bound_prompt(const request& asked);

}  // namespace sluice
