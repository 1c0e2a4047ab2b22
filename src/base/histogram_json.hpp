#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "sluice/histogram.hpp"

namespace sluice {

/// Numbers and histograms in the form used in JSON documents. Pure.

/// Rounds to three decimals; more decimals have no meaning.
double rounded(double value);
nlohmann::ordered_json rounded_or_null(const std::optional<double>& value);

/// {"mean","p50","p90","p99","max","count"}; null if the histogram is empty.
nlohmann::ordered_json summary_json(const histogram& of);
/// [[value, count], …], ascending.
nlohmann::ordered_json steps_json(const histogram& of);

}  // namespace sluice
