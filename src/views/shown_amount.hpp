#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "sluice/money.hpp"

namespace sluice::cli {

/// An amount for a person, with every digit: "$25,902.00", "$0.0156264". Pure.
std::string shown_amount(usd amount);

/// An amount in a JSON document: a string with every digit, or null if it is unknown. Pure.
nlohmann::ordered_json amount_json(const std::optional<usd>& amount);

}  // namespace sluice::cli
