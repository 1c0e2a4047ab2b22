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

/// What one attempt brought: a whole reply, or why there is none.
using attempt_outcome = boost::system::result<reply, failure>;

/// Of an exchange that has ended, whose bytes the reader has read. Call once.
attempt_outcome outcome_of(const exchange_end& end, openai::reply_reader& reader);

/// Names the URL that was asked where what answers there is not this API.
void name_address(attempt_outcome& told, const relay_options& relay, endpoint target);

/// What the failed attempt may cost.
attempt_end end_without_result(const exchange_end& end, const failure& why);

/// A relay may repeat the key in what it says; nothing that is kept or shown holds it.
void redact(attempt_outcome& told, const secrets& hidden);

}  // namespace sluice
