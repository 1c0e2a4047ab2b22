#include "base/histogram_json.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

namespace sluice {

using nlohmann::ordered_json;

double rounded(double value) {
  return std::round(value * 1000) / 1000;
}

ordered_json rounded_or_null(const std::optional<double>& value) {
  return value ? ordered_json(rounded(*value)) : ordered_json(nullptr);
}

ordered_json summary_json(const histogram& of) {
  if (of.count() == 0) return nullptr;
  return {{"mean", rounded_or_null(of.mean())},       {"p50", rounded_or_null(of.quantile(0.5))},
          {"p90", rounded_or_null(of.quantile(0.9))}, {"p99", rounded_or_null(of.quantile(0.99))},
          {"max", rounded_or_null(of.greatest())},    {"count", of.count()}};
}

ordered_json steps_json(const histogram& of) {
  auto list = ordered_json::array();
  for (const auto& [value, count] : of.steps()) {
    list.push_back(ordered_json::array({rounded(value), count}));
  }
  return list;
}

}  // namespace sluice
