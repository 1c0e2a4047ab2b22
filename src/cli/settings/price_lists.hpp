#pragma once

#include <string>
#include <string_view>

#include "account/pricing_inquiry.hpp"
#include "sluice/config.hpp"

namespace sluice::cli {

/// Among the files of prices: what each relay itself tells.
inline constexpr std::string_view prices_of_relay = "relay";

/// Asks one relay for its price list, on a loop of its own. The models are there under the names
/// that the jobs have for them, too.
pricing_answer ask_price_list(const relay_member& member, const std::string& group);

/// The models of a list that have no price by the token, in words: "2 billed per call, 1 by tiers";
/// empty: there are none.
std::string left_out_of(const models_left_out& left_out);

}  // namespace sluice::cli
