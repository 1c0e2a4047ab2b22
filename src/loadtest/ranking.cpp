#include "loadtest/ranking.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "base/printable.hpp"
#include "base/resampling.hpp"
#include "loadtest/bench_document.hpp"

namespace sluice::bench {
namespace {

using nlohmann::ordered_json;

constexpr double confidence = 0.95;
constexpr double fewest_requests = 10;
constexpr double resolution = 1.01;  // the factor between two values

struct metric {
  const char* histogram;
  const char* name;
  const char* words;
};
constexpr metric first_token{"ttft_ms", "ttft_ms.p50", "p50 to first token"};
constexpr metric whole_reply{"latency_ms", "latency_ms.p50", "p50 to the end of the reply"};

struct contender {
  std::string name;
  std::vector<counted_value> times;
  double p50 = 0;
  double requests = 0;
  double failed = 0;
};

// "8 in flight", "120 a minute", as in the tables.
std::string words_of(const ordered_json& load) {
  if (const auto concurrency = number(load, "concurrency")) {
    return fmt::format("{:g} in flight", *concurrency);
  }
  return fmt::format("{:g} a minute", number(load, "rate").value_or(0));
}

const ordered_json* load_of(const ordered_json& target, const std::string& label) {
  for (const auto& load : member(target, "loads")) {
    if (label_of(load) == label) return &load;
  }
  return nullptr;
}

// The last load for which every target has answers.
std::string last_common_load(const std::vector<const ordered_json*>& targets) {
  std::string last;
  for (const auto& load : member(*targets.front(), "loads")) {
    const std::string label = label_of(load);
    const bool everywhere = std::all_of(targets.begin(), targets.end(), [&](const auto* target) {
      const ordered_json* same = load_of(*target, label);
      return same != nullptr && number(*same, "succeeded").value_or(0) > 0;
    });
    if (everywhere) last = label;
  }
  return last;
}

std::vector<contender> contenders_at(const std::vector<const ordered_json*>& targets,
                                     const std::string& label, const metric& by) {
  std::vector<contender> all;
  for (const auto* target : targets) {
    const ordered_json& load = *load_of(*target, label);
    contender one{.name = printable_text(text(*target, "name")),
                  .times = histogram_of(load, by.histogram),
                  .requests = number(load, "requests").value_or(0),
                  .failed = number(load, "failed").value_or(0)};
    if (one.times.empty()) return {};
    if (one.name.empty()) one.name = printable_text(text(*target, "target"));
    one.p50 = quantile_of(one.times, 0.5);
    all.push_back(std::move(one));
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.p50 < b.p50; });
  return all;
}

struct comparison {
  double times = 1;
  std::optional<confidence_interval> range = {};  // nullopt: too few requests
  bool certain = false;
};

comparison compare(const contender& fastest, const contender& other, double level,
                   const ranking_options& chosen, std::uint64_t number) {
  comparison found{.times = fastest.p50 > 0 ? other.p50 / fastest.p50 : 1};
  if (std::min(total(fastest.times), total(other.times)) < fewest_requests) return found;
  resampling chance(chosen.seed + 0x9E3779B97F4A7C15U * number);
  const auto a = chance.quantiles(fastest.times, 0.5, chosen.resamples);
  const auto b = chance.quantiles(other.times, 0.5, chosen.resamples);
  std::vector<double> factors;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] > 0) factors.push_back(b[i] / a[i]);
  }
  if (factors.empty()) return found;
  std::sort(factors.begin(), factors.end());
  const auto at = [&factors](double share) {
    const double place = share * static_cast<double>(factors.size() - 1);
    return factors[static_cast<std::size_t>(std::llround(place))];
  };
  const double tail = (1 - level) / 2;
  found.range = {at(tail), at(1 - tail)};
  found.certain = found.range->low > 1 && found.times >= resolution;
  return found;
}

std::string figure(double value) {
  return value >= 99.95 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
}

std::string factor(double value) {
  return value < 1.1 ? fmt::format("{:.2f}", value) : fmt::format("{:.2g}", value);
}

std::string sentence_of(const std::vector<contender>& all, const std::vector<comparison>& found,
                        const metric& by) {
  const contender& best = all.front();
  std::string certain;
  std::string open;
  std::string few;
  for (std::size_t i = 1; i < all.size(); ++i) {
    const comparison& one = found[i - 1];
    if (one.certain) {
      certain += fmt::format("{}{} times as fast as {}", certain.empty() ? "" : ", ",
                             factor(one.times), all[i].name);
    } else {
      std::string& list = one.range ? open : few;
      list += (list.empty() ? "" : ", ") + all[i].name;
    }
  }
  std::string values = fmt::format("{} {}", by.words, figure(best.p50));
  for (std::size_t i = 1; i < all.size(); ++i) values += " against " + figure(all[i].p50);
  values += " ms";
  std::string text;
  if (certain.empty()) {
    text = fmt::format("no certain difference between {} and {}: {}", best.name,
                       open.empty()  ? few
                       : few.empty() ? open
                                     : open + ", " + few,
                       values);
  } else {
    text = fmt::format("{} is {}, {}; difference certain at 95 %", best.name, certain, values);
    if (!open.empty()) text += ", no certain difference from " + open;
  }
  if (!few.empty()) text += fmt::format("; too few requests to judge {} (10 are needed)", few);
  for (const auto& one : all) {
    if (one.failed > 0) {
      text += fmt::format("; {} failed {:.0f} of {:.0f}", one.name, one.failed, one.requests);
    }
  }
  return text;
}

ordered_json rounded(double value) {
  return std::round(value * 1000) / 1000;
}

}  // namespace

ordered_json rank_targets(const ordered_json& document, const ranking_options& chosen) {
  std::vector<const ordered_json*> targets;
  for (const auto* target : targets_of(document)) {
    double succeeded = 0;
    for (const auto& load : member(*target, "loads")) {
      succeeded += number(load, "succeeded").value_or(0);
    }
    if (succeeded > 0) targets.push_back(target);
  }
  if (targets.size() < 2) return nullptr;
  const std::string load = last_common_load(targets);
  if (load.empty()) return nullptr;
  const metric* by = &first_token;
  auto all = contenders_at(targets, load, *by);
  if (all.empty()) {
    by = &whole_reply;
    all = contenders_at(targets, load, *by);
  }
  if (all.empty()) return nullptr;
  const double level = 1 - (1 - confidence) / static_cast<double>(all.size() - 1);
  std::vector<comparison> found;
  for (std::size_t i = 1; i < all.size(); ++i) {
    found.push_back(compare(all.front(), all[i], level, chosen, i));
  }
  auto list = ordered_json::array();
  for (std::size_t i = 0; i < all.size(); ++i) {
    ordered_json one = {{"target", all[i].name},
                        {"p50_ms", rounded(all[i].p50)},
                        {"requests", std::llround(all[i].requests)},
                        {"failed", std::llround(all[i].failed)},
                        {"times", nullptr},
                        {"low", nullptr},
                        {"high", nullptr},
                        {"certain", false}};
    if (i > 0) {
      const comparison& told = found[i - 1];
      one["times"] = rounded(told.times);
      if (told.range) one["low"] = rounded(told.range->low);
      if (told.range) one["high"] = rounded(told.range->high);
      one["certain"] = told.certain;
    }
    list.push_back(std::move(one));
  }
  const std::string words = words_of(*load_of(*targets.front(), load));
  const bool several = member(*targets.front(), "loads").size() > 1;
  return {{"sentence", (several ? fmt::format("at {}: ", words) : std::string()) +
                           sentence_of(all, found, *by)},
          {"metric", by->name},
          {"load", words},
          {"confidence", confidence},
          {"resamples", chosen.resamples},
          {"targets", std::move(list)}};
}

}  // namespace sluice::bench
