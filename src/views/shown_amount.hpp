#pragma once

#include <string>

#include "sluice/money.hpp"

namespace sluice::cli {

/// An amount for a person, with every digit: "$25,902.00", "$0.0156264". Pure.
std::string shown_amount(usd amount);

}  // namespace sluice::cli
