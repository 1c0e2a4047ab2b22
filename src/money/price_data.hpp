#pragma once

#include <string_view>

namespace sluice {

/// The text of `prices.json`, a price list of format 2 (docs/prices.md). It is only data; the
/// client and the simulator each compute with it in their own way.
std::string_view price_table_json() noexcept;

/// The date of its newest entry, as YYYY-MM-DD.
std::string_view price_table_date() noexcept;

}  // namespace sluice
