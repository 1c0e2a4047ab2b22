#pragma once

#include <string>
#include <string_view>

#include "json/object.hpp"
#include "sluice/prices.hpp"

namespace sluice {

/// Whether the document is a price list of this program's own form: {"format": 2, "models": {...}}.
bool is_price_list(const json_object& document);

/// Reads such a list. Rates are decimal strings in USD per million tokens, exact in 1e-18 USD a
/// token; docs/prices.md describes the fields. A field of a model that is not known here is a
/// fault, since it may be a price. `origin` names the document in the fatal_error that a fault
/// throws. Pure.
price_table read_price_list(const json_object& document, std::string_view origin);

/// Seconds since the epoch of the beginning of a day, "2026-12-01", or of a moment,
/// "2026-08-16T16:00:00Z"; nothing where the text is neither. Pure.
std::optional<double> unix_time_of(std::string_view text);

}  // namespace sluice
