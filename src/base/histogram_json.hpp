#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "sluice/histogram.hpp"

namespace sluice {

/// Numbers and histograms as documents show them. Pure.

/// To three decimals: what is beyond says nothing.
double rounded(double value);
nlohmann::ordered_json rounded_or_null(const std::optional<double>& value);

/// {"mean","p50","p90","p99","max","count"}; null where there is no value.
nlohmann::ordered_json summary_json(const histogram& of);
/// [[value, count], …], ascending.
nlohmann::ordered_json steps_json(const histogram& of);

}  // namespace sluice
