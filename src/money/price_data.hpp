#pragma once

#include <string_view>

namespace sluice {

/// The text of `prices.json`: {"MODEL": {"input", "cached_input", "output" (USD per million tokens,
/// as decimal strings; null: unknown), "max_input_tokens", "max_output_tokens"}}. Data only: the
/// client and the simulator each do their own arithmetic with it.
std::string_view price_table_json() noexcept;

/// The day the table was taken, as YYYY-MM-DD.
std::string_view price_table_date() noexcept;

}  // namespace sluice
