#pragma once

#include <string>
#include <string_view>

#include "json/object.hpp"
#include "sluice/prices.hpp"

namespace sluice {

/// Whether the document is a price list in this program's own format: {"format": 2, "models":
/// {...}}.
bool is_price_list(const json_object& document);

/// Reads such a list. Rates are decimal strings in USD per million tokens, exact to 1e-18 USD per
/// token; docs/prices.md describes the fields. A field of a model that this program does not know
/// is an error, because it may be a price. Throws fatal_error; `origin` is the name of the document
/// in its message. Pure.
price_table read_price_list(const json_object& document, std::string_view origin);

/// The beginning of a day ("2026-12-01") or a moment ("2026-08-16T16:00:00Z") in seconds since the
/// epoch; nothing if the text is neither. Pure.
std::optional<double> unix_time_of(std::string_view text);

}  // namespace sluice
