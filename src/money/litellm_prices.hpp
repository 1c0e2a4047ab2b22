#pragma once

#include <string_view>

#include "json/object.hpp"
#include "sluice/money.hpp"

namespace sluice {

/// Whether these are the models of litellm's model_prices_and_context_window.json: one of them has
/// an "input_cost_per_token".
bool is_litellm_prices(const json_object& models);

/// Reads that document as price_table::merge says:
///  - "sample_spec" tells of the format and is passed over;
///  - USD per token: "input_cost_per_token", "cache_read_input_token_cost",
///  "output_cost_per_token",
///    as numbers or strings; rounded up to 1e-18 USD;
///  - no price: without an "input_cost_per_token", with a "mode" whose requests this program does
///    not send (images, audio, reranking …), or with tokens at 0: the document writes that of
///    models that are free, that are billed by another unit, and that cost what another model does
///    (openrouter/auto), and unknown is never zero;
///  - "max_input_tokens"; "max_output_tokens", else the older "max_tokens", which is one of the two
///    and hence never less than the output's.
/// Prices above a length of the context, of batches, priorities and reasoning tokens, and of
/// writing to a cache are not taken. Throws fatal_error, which names the origin and the entry.
/// Pure.
price_table read_litellm_prices(const json_object& models, std::string_view origin);

}  // namespace sluice
