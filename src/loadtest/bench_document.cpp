#include "loadtest/bench_document.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::bench {

using nlohmann::ordered_json;

const ordered_json& member(const ordered_json& of, const char* name) {
  static const ordered_json none;
  if (!of.is_object()) return none;
  const auto found = of.find(name);
  return found == of.end() ? none : *found;
}

std::optional<double> number(const ordered_json& of, const char* name) {
  const auto& value = member(of, name);
  return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
}

std::string text(const ordered_json& of, const char* name) {
  const auto& value = member(of, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::string label_of(const ordered_json& load) {
  if (const auto concurrency = number(load, "concurrency"))
    return fmt::format("concurrency {:g}", *concurrency);
  const std::string kind = text(load, "rate_kind");
  return fmt::format("{:g} a minute{}{}", number(load, "rate").value_or(0),
                     kind.empty() ? "" : ", ", kind);
}

std::vector<const ordered_json*> targets_of(const ordered_json& document) {
  std::vector<const ordered_json*> all;
  const auto& several = member(document, "targets");
  if (several.is_array()) {
    for (const auto& one : several) all.push_back(&one);
  } else {
    all.push_back(&document);
  }
  return all;
}

std::vector<counted_value> histogram_of(const ordered_json& load, const char* name) {
  std::vector<counted_value> steps;
  const auto& told = member(member(load, "histograms"), name);
  if (!told.is_array()) return steps;
  for (const auto& step : told) {
    if (!step.is_array() || step.size() != 2 || !step[0].is_number() || !step[1].is_number())
      return {};
    if (const double count = step[1]; count > 0) steps.push_back({step[0], count});
  }
  std::sort(steps.begin(), steps.end(),
            [](const auto& a, const auto& b) { return a.value < b.value; });
  return steps;
}

double total(const std::vector<counted_value>& steps) {
  double n = 0;
  for (const auto& step : steps) n += step.count;
  return n;
}

}  // namespace sluice::bench
