#pragma once

#include <string_view>

namespace sluice {

/// The text of `prices.json`, a price list of format 2 (docs/prices.md). Data only: the client and
/// the simulator each do their own arithmetic with it.
std::string_view price_table_json() noexcept;

/// The day of its newest fact, as YYYY-MM-DD.
std::string_view price_table_date() noexcept;

}  // namespace sluice
