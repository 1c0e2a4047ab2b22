#pragma once

#include <string_view>

#include "json/object.hpp"
#include "sluice/prices.hpp"

namespace sluice {

/// Whether these are the models of litellm's model_prices_and_context_window.json: one of them has
/// an "input_cost_per_token".
bool is_litellm_prices(const json_object& models);

/// Reads that document as price_table::merge says:
///  - "sample_spec" tells of the format and is passed over;
///  - USD per token, as numbers or strings, rounded up to 1e-18 USD: of input, output, reading from
///    and writing to a cache (`_above_1hr`: for an hour), audio and images; each above a length of
///    the prompt (`_above_200k_tokens`) and of a tier (`_flex`, `_priority`, `_batches`);
///  - another field with "cost" in its name: the model's prices have it as `not_understood`, but
///  for
///    fees of searches and tools, which requests without them do not pay;
///  - no price: without an "input_cost_per_token", with a "mode" whose requests this program does
///    not send (images, audio, reranking …), or with tokens at 0: the document writes that of
///    models that are free, that are billed by another unit, and that cost what another model does
///    (openrouter/auto), and unknown is never zero;
///  - "max_input_tokens"; "max_output_tokens", else the older "max_tokens", which is one of the two
///    and hence never less than the output's.
/// Throws fatal_error, which names the origin and the entry.
/// Pure.
price_table read_litellm_prices(const json_object& models, std::string_view origin);

}  // namespace sluice
