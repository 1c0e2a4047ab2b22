#pragma once

#include <boost/system/result.hpp>

#include "http/exchange.hpp"
#include "openai/reply_reader.hpp"
#include "sluice/config.hpp"
#include "sluice/endpoint.hpp"
#include "sluice/error.hpp"
#include "sluice/result.hpp"
#include "sluice/result_sink.hpp"
#include "upstream/secrets.hpp"

namespace sluice {

/// The outcome of one attempt: a complete reply, or a failure.
using attempt_outcome = boost::system::result<reply, failure>;

/// The outcome of an exchange that has ended. `reader` has read all its bytes. Call it once.
attempt_outcome outcome_of(const exchange_end& end, openai::reply_reader& reader);

/// Adds the requested URL to the failure's message if the answer is not from this API.
void name_address(attempt_outcome& outcome, const relay_options& relay, endpoint target);

/// How the failed attempt counts for the budget.
attempt_end end_without_result(const exchange_end& end, const failure& why);

/// Removes keys from the outcome before it is stored or shown; a relay may repeat the key in its
/// answer.
void redact(attempt_outcome& outcome, const secrets& hidden);

}  // namespace sluice
