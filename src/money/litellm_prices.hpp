#pragma once

#include <string_view>

#include "json/object.hpp"
#include "sluice/prices.hpp"

namespace sluice {

/// Whether these are the models of litellm's model_prices_and_context_window.json: at least one of
/// them has an "input_cost_per_token".
bool is_litellm_prices(const json_object& models);

/// Reads that document as described at price_table::merge:
///  - "sample_spec" describes the format and is skipped.
///  - Rates are in USD per token, as numbers or strings, and are rounded up to 1e-18 USD. There are
///    rates for input, output, reading from and writing to a cache (`_above_1hr`, `_above_12hr`:
///    for so long), audio and images. Each may be limited to long prompts (`_above_200k_tokens`)
///    and to a tier (`_flex`, `_priority`, `_batches`, `_ultrafast`, `_balanced`).
///  - Any other field with "cost" in its name is stored as `not_understood`, and so is a second
///    spelling of a rate that contradicts the first. The exceptions are fees for searches and
///    tools, rates for cached audio and for another endpoint (`_decisions`), because requests that
///    have a cost bound do not pay these, and prices in another unit next to those in USD.
///  - "tiered_pricing" holds rates for ranges of prompt lengths, and "off_peak_pricing" rates for
///    hours. If one of these is not of the known form, or stands next to rates with which it does
///    not go together, it is stored as `not_understood`, and the model has no rates at all. The
///    same holds for any other list or object whose name contains "pricing", "tier" or "peak".
///  - A model has no price if it has neither "input_cost_per_token" nor "tiered_pricing", if its
///  "mode" is one whose requests
///    this program does not send (images, audio, reranking …), or if its tokens cost 0. The
///    document uses 0 for models that are free, that are billed by another unit, or that cost the
///    same as some other model (openrouter/auto). An unknown price is never zero.
///  - The limits are "max_input_tokens" and "max_output_tokens". If the latter is missing, the
///    older "max_tokens" is used. That is one of the two limits, so it is never less than the
///    output limit.
/// Throws fatal_error that names the origin and the entry. Pure.
price_table read_litellm_prices(const json_object& models, std::string_view origin);

}  // namespace sluice
