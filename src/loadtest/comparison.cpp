#include "loadtest/comparison.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/printable.hpp"
#include "base/refuse.hpp"
#include "base/resampling.hpp"
#include "json/text.hpp"
#include "loadtest/bench_document.hpp"
#include "sluice/error.hpp"

namespace sluice::bench {
namespace {

using nlohmann::ordered_json;

constexpr double beyond_quantile = 5;    // samples on the rarer side of a quantile
constexpr std::size_t least_steps = 15;  // steps of a timeline
constexpr double least_requests = 20;
constexpr double histogram_step = 1;  // percent

constexpr std::string_view faster = "faster";
constexpr std::string_view slower = "slower";
constexpr std::string_view fewer_failures = "fewer failures";
constexpr std::string_view more_failures = "more failures";
constexpr std::string_view no_difference = "no difference beyond the noise";
constexpr std::string_view too_few = "too few samples to tell";

struct histogram_metric {
  const char* name;
  const char* histogram;
  double quantile;
};
constexpr std::array histogram_metrics{
    histogram_metric{"latency_ms.p50", "latency_ms", 0.5},
    histogram_metric{"latency_ms.p99", "latency_ms", 0.99},
    histogram_metric{"ttft_ms.p50", "ttft_ms", 0.5},
    histogram_metric{"ttft_ms.p99", "ttft_ms", 0.99},
    histogram_metric{"inter_token_ms.p50", "inter_token_ms", 0.5},
};

struct timeline_metric {
  const char* name;
  const char* series;
};
constexpr std::array timeline_metrics{
    timeline_metric{"requests_per_s", "succeeded"},
    timeline_metric{"output_tokens_per_s", "output_tokens"},
};

/// A load, and the target on which it was run.
struct placed_load {
  std::string target;  ///< the target's name; empty: none
  std::size_t place = 0;
  const ordered_json* load = nullptr;
  std::string label;
};

std::vector<placed_load> loads_of(const ordered_json& document) {
  std::vector<placed_load> all;
  const auto targets = targets_of(document);
  for (std::size_t place = 0; place < targets.size(); ++place) {
    for (const auto& load : member(*targets[place], "loads"))
      all.push_back({text(*targets[place], "name"), place, &load, label_of(load)});
  }
  return all;
}

bool match(const placed_load& a, const placed_load& b) {
  const bool same_target =
      a.target.empty() || b.target.empty() ? a.place == b.place : a.target == b.target;
  return same_target && a.label == b.label;
}

std::string full_label(const placed_load& of) {
  return of.target.empty() ? of.label : of.target + ", " + of.label;
}

/// The number of steps before the first request. The timeline begins with the load, which may first
/// wait for the limit; `duration_s` begins with the first request.
std::size_t steps_of_waiting(const ordered_json& line) {
  const auto& started = member(line, "started");
  if (!started.is_array()) return 0;
  const auto first = std::find_if(started.begin(), started.end(), [](const auto& amount) {
    return amount.is_number() && amount.template get<double>() > 0;
  });
  return static_cast<std::size_t>(first - started.begin());
}

/// Amounts per second, from the time steps that lie completely within the load.
std::vector<double> series_of(const ordered_json& load, const char* name) {
  std::vector<double> series;
  const auto& line = member(load, "timeline");
  const auto& told = member(line, name);
  const double step = number(line, "step_s").value_or(0);
  if (!told.is_array() || step <= 0) return series;
  const double whole = std::floor(number(load, "duration_s").value_or(0) / step);
  for (std::size_t i = steps_of_waiting(line); i < told.size(); ++i) {
    if (static_cast<double>(series.size()) >= whole || !told[i].is_number()) break;
    series.push_back(told[i].get<double>() / step);
  }
  return series;
}

ordered_json or_null(const std::optional<double>& value) {
  return value ? ordered_json(std::round(*value * 1000) / 1000) : ordered_json();
}

struct sides {
  std::optional<double> before;
  std::optional<double> after;
};

ordered_json metric_json(std::string_view name, std::string_view unit, const sides& told,
                         const std::array<double, 2>& samples) {
  return {{"metric", name},
          {"unit", unit},
          {"before", or_null(told.before)},
          {"after", or_null(told.after)},
          {"change", nullptr},
          {"low", nullptr},
          {"high", nullptr},
          {"samples", {std::llround(samples[0]), std::llround(samples[1])}},
          {"verdict", too_few}};
}

/// How to judge the resampled changes. `least`: smaller changes do not count; `up` and `down`: the
/// verdicts for an increase and a decrease.
struct judged_by {
  double least = 0;
  std::string_view up;
  std::string_view down;
};

void judge(ordered_json& told, double change, std::vector<double> drawn, const judged_by& how) {
  const auto range = middle_of(std::move(drawn));
  told["change"] = or_null(change);
  told["low"] = or_null(range.low);
  told["high"] = or_null(range.high);
  std::string_view verdict = no_difference;
  if (std::abs(change) >= how.least) {
    if (range.low > 0) verdict = how.up;
    if (range.high < 0) verdict = how.down;
  }
  told["verdict"] = verdict;
}

std::vector<double> percent_changes(const std::vector<double>& before,
                                    const std::vector<double>& after, double scale) {
  std::vector<double> changes;
  changes.reserve(before.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i] > 0) changes.push_back(100 * (scale * after[i] / before[i] - 1));
  }
  return changes;
}

/// The metrics by which two loads of one kind are compared. Each metric has its own random numbers.
class load_pair {
 public:
  load_pair(const ordered_json& before, const ordered_json& after, const comparison_options& chosen)
      : before_(before), after_(after), times_(chosen.resamples), seed_(chosen.seed) {}

  ordered_json metrics() {
    auto all = ordered_json::array();
    const auto add = [&](std::optional<ordered_json> one) {
      if (one) all.push_back(std::move(*one));
    };
    for (const auto& of : timeline_metrics) add(throughput(of));
    for (const auto& of : histogram_metrics) add(quantile(of));
    add(failures());
    return all;
  }

 private:
  resampling chance() { return resampling(seed_ + 0x9E3779B97F4A7C15U * ++drawn_); }

  std::optional<ordered_json> throughput(const timeline_metric& of) {
    const sides told{number(before_, of.name), number(after_, of.name)};
    if (!told.before && !told.after) return std::nullopt;
    const auto before = series_of(before_, of.series);
    const auto after = series_of(after_, of.series);
    auto one = metric_json(of.name, "percent", told,
                           {static_cast<double>(before.size()), static_cast<double>(after.size())});
    const double fewest =
        std::min(number(before_, "succeeded").value_or(0), number(after_, "succeeded").value_or(0));
    if (!told.before || !told.after || *told.before <= 0 || fewest < least_requests ||
        std::min(before.size(), after.size()) < least_steps)
      return one;
    auto random = chance();
    const double change = 100 * (*told.after / *told.before - 1);
    const double seen_before = mean_of(before);
    const double seen_after = mean_of(after);
    if (seen_before <= 0 || seen_after <= 0) return one;
    // The last, incomplete step is left out. So only the spread comes from the steps, not the mean.
    const double scale = (*told.after / *told.before) / (seen_after / seen_before);
    judge(one, change,
          percent_changes(random.means(before, times_), random.means(after, times_), scale),
          {0, faster, slower});
    return one;
  }

  std::optional<ordered_json> quantile(const histogram_metric& of) {
    const auto before = histogram_of(before_, of.histogram);
    const auto after = histogram_of(after_, of.histogram);
    if (before.empty() && after.empty()) return std::nullopt;
    sides told;
    if (!before.empty()) told.before = quantile_of(before, of.quantile);
    if (!after.empty()) told.after = quantile_of(after, of.quantile);
    auto one = metric_json(of.name, "percent", told, {total(before), total(after)});
    const double fewest = std::min(total(before), total(after));
    const double beyond = std::min(of.quantile, 1 - of.quantile) * fewest;
    if (!told.before || !told.after || *told.before <= 0 || beyond < beyond_quantile - 1e-9)
      return one;
    auto random = chance();
    judge(one, 100 * (*told.after / *told.before - 1),
          percent_changes(random.quantiles(before, of.quantile, times_),
                          random.quantiles(after, of.quantile, times_), 1),
          {histogram_step, slower, faster});
    return one;
  }

  std::optional<ordered_json> failures() {
    const auto share = [](const ordered_json& load) -> std::optional<double> {
      const auto failed = number(load, "failed");
      const auto all = number(load, "requests");
      return failed && all && *all > 0 ? std::optional(100 * *failed / *all) : std::nullopt;
    };
    const sides told{share(before_), share(after_)};
    if (!told.before && !told.after) return std::nullopt;
    const double before = number(before_, "requests").value_or(0);
    const double after = number(after_, "requests").value_or(0);
    auto one = metric_json("failed_share", "points", told, {before, after});
    if (!told.before || !told.after || std::min(before, after) < least_requests) return one;
    auto random = chance();
    const auto was = random.shares(*number(before_, "failed"), before, times_);
    const auto is = random.shares(*number(after_, "failed"), after, times_);
    std::vector<double> changes;
    changes.reserve(was.size());
    for (std::size_t i = 0; i < was.size(); ++i) changes.push_back(100 * (is[i] - was[i]));
    judge(one, *told.after - *told.before, std::move(changes), {0, more_failures, fewer_failures});
    return one;
  }

  static double mean_of(const std::vector<double>& series) {
    double sum = 0;
    for (const double one : series) sum += one;
    return sum / static_cast<double>(series.size());
  }

  const ordered_json& before_;
  const ordered_json& after_;
  unsigned times_;
  std::uint64_t seed_;
  std::uint64_t drawn_ = 0;
};

bool is_judged(const ordered_json& metric) {
  return metric.at("verdict") != too_few;
}
bool differs(const ordered_json& metric) {
  return is_judged(metric) && metric.at("verdict") != no_difference;
}
bool is_better(const ordered_json& metric) {
  return metric.at("verdict") == faster || metric.at("verdict") == fewer_failures;
}

/// The number of `judged` metrics that may differ by chance alone, in 95 of 100 comparisons of
/// equal loads: the quantile of the binomial distribution with a share of 5 %.
std::size_t by_chance(std::size_t judged) {
  constexpr double share = 0.05;
  double probability = std::pow(1 - share, static_cast<double>(judged));
  double sum = probability;
  std::size_t n = 0;
  while (sum < 0.95 && n < judged) {
    probability *=
        static_cast<double>(judged - n) / static_cast<double>(n + 1) * share / (1 - share);
    sum += probability;
    ++n;
  }
  return n;
}

std::string counted(std::size_t n, std::string_view noun) {
  return fmt::format("{} {}{}", n, noun, n == 1 ? "" : "s");
}

/// The overall verdict, after subtracting the number of metrics that may differ by chance.
std::string verdict_of(const std::vector<const ordered_json*>& metrics) {
  std::size_t judged = 0;
  std::size_t better = 0;
  std::size_t worse = 0;
  for (const auto* one : metrics) {
    judged += is_judged(*one) ? 1U : 0U;
    if (differs(*one)) ++(is_better(*one) ? better : worse);
  }
  if (judged == 0) return "there are too few samples to tell";
  const std::string of = " of " + counted(judged, "metric");
  if (better + worse == 0) return "no difference beyond the noise, in" + of.substr(3);
  if (better + worse <= by_chance(judged))
    return fmt::format("no difference: {}{} differ{}, no more than chance alone explains",
                       better + worse, of, better + worse == 1 ? "s" : "");
  if (worse == 0) return fmt::format("better, by {}{}", better, of);
  if (better == 0) return fmt::format("worse, by {}{}", worse, of);
  return fmt::format("mixed: {} better and {} worse{}", better, worse, of);
}

std::vector<const ordered_json*> pointers_to(const ordered_json& metrics) {
  std::vector<const ordered_json*> all;
  for (const auto& one : metrics) all.push_back(&one);
  return all;
}

std::string upper_first(std::string sentence) {
  if (!sentence.empty() && sentence.front() >= 'a' && sentence.front() <= 'z')
    sentence.front() = static_cast<char>(sentence.front() - 'a' + 'A');
  return sentence;
}

/// Other differences between the documents that may be the cause of a change.
ordered_json notes_on(const ordered_json& before, const ordered_json& after) {
  auto notes = ordered_json::array();
  const auto* was = targets_of(before).empty() ? &before : targets_of(before).front();
  const auto* is = targets_of(after).empty() ? &after : targets_of(after).front();
  for (const char* name : {"model", "streamed", "simulated", "input"}) {
    const auto& one = member(*was, name).is_null() ? member(before, name) : member(*was, name);
    const auto& other = member(*is, name).is_null() ? member(after, name) : member(*is, name);
    if (!one.is_null() && !other.is_null() && one != other)
      notes.push_back(
          fmt::format("\"{}\" was {} and is {}.", name, json_line(one), json_line(other)));
  }
  return notes;
}

[[noreturn]] void refuse_file(std::string_view flag, std::string_view file,
                              std::string_view problem) {
  refuse(
      fmt::format("{} {}: {}; give a file that 'sluice bench --json' wrote", flag, file, problem));
}

std::string signed_number(const ordered_json& value) {
  return fmt::format("{:+.1f}", value.get<double>());
}

std::string line_of(const ordered_json& metric) {
  const auto shown = [](const ordered_json& value) {
    return value.is_null() ? std::string("-") : fmt::format("{:.4g}", value.get<double>());
  };
  const std::string unit = metric.at("unit") == "points" ? " points" : " %";
  std::string change;
  if (!metric.at("change").is_null())
    change = fmt::format(", {}{} ({} to {})", signed_number(metric.at("change")), unit,
                         signed_number(metric.at("low")), signed_number(metric.at("high")));
  return fmt::format("  {:<20} {} -> {}{}: {}", metric.at("metric").get<std::string>(),
                     shown(metric.at("before")), shown(metric.at("after")), change,
                     metric.at("verdict").get<std::string>());
}

}  // namespace

ordered_json parse_bench_document(std::string_view text, std::string_view flag,
                                  std::string_view file) {
  auto document = ordered_json::parse(text, nullptr, false);
  if (document.is_discarded()) refuse_file(flag, file, "it is not JSON");
  if (!document.is_object()) refuse_file(flag, file, "it is not a JSON object");
  const auto& several = member(document, "targets");
  if (!several.is_array() && !member(document, "loads").is_array())
    refuse_file(flag, file, "it has neither \"loads\" nor \"targets\"");
  if (several.is_array() && several.empty()) refuse_file(flag, file, "\"targets\" is empty");
  for (const auto* target : targets_of(document)) {
    const auto& loads = member(*target, "loads");
    if (!loads.is_array()) refuse_file(flag, file, "a target has no \"loads\"");
    for (const auto& load : loads) {
      if (!number(load, "concurrency") && !number(load, "rate"))
        refuse_file(flag, file, "a load has neither \"concurrency\" nor \"rate\"");
      if (!member(load, "histograms").is_object() || !member(load, "timeline").is_object())
        refuse_file(flag, file, "a load has no \"histograms\" or no \"timeline\"");
    }
  }
  return document;
}

ordered_json compare(const ordered_json& before, const ordered_json& after,
                     const comparison_options& chosen) {
  auto old_loads = loads_of(before);
  auto loads = ordered_json::array();
  auto only_after = ordered_json::array();
  std::uint64_t seed = chosen.seed;
  for (const auto& now : loads_of(after)) {
    const auto was = std::find_if(old_loads.begin(), old_loads.end(),
                                  [&](const auto& old) { return match(old, now); });
    if (was == old_loads.end()) {
      only_after.push_back(full_label(now));
      continue;
    }
    auto metrics = load_pair(*was->load, *now.load, {chosen.resamples, seed}).metrics();
    seed += 1'000'003;
    const std::string sentence = upper_first(verdict_of(pointers_to(metrics))) + ".";
    loads.push_back({{"target", now.target.empty() ? ordered_json() : ordered_json(now.target)},
                     {"concurrency", member(*now.load, "concurrency")},
                     {"rate", member(*now.load, "rate")},
                     {"rate_kind", member(*now.load, "rate_kind")},
                     {"sentence", sentence},
                     {"metrics", std::move(metrics)}});
    old_loads.erase(was);
  }
  auto only_before = ordered_json::array();
  for (const auto& old : old_loads) only_before.push_back(full_label(old));

  std::vector<const ordered_json*> all;
  for (const auto& load : loads) {
    for (const auto& one : load.at("metrics")) all.push_back(&one);
  }
  const std::string sentence =
      loads.empty() ? "No load of one is in the other: there is nothing to compare."
                    : fmt::format("At {}: {}.", counted(loads.size(), "load"), verdict_of(all));
  return {{"sentence", sentence},
          {"confidence", 0.95},
          {"resamples", chosen.resamples},
          {"notes", notes_on(before, after)},
          {"loads", std::move(loads)},
          {"only_before", std::move(only_before)},
          {"only_after", std::move(only_after)}};
}

std::vector<std::string> comparison_lines(const ordered_json& comparison) {
  std::vector<std::string> lines;
  for (const auto& load : comparison.at("loads")) {
    const auto& target = load.at("target");
    const std::string at = target.is_null() ? "" : target.get<std::string>() + ", ";
    lines.push_back(fmt::format("{}: {}", printable_text(upper_first(at + label_of(load))),
                                load.at("sentence").get<std::string>()));
    for (const auto& one : load.at("metrics")) lines.push_back(line_of(one));
  }
  for (const auto& label : comparison.at("only_before"))
    lines.push_back(printable_text("Not measured again: " + label.get<std::string>() + "."));
  for (const auto& label : comparison.at("only_after"))
    lines.push_back(printable_text("Not measured before: " + label.get<std::string>() + "."));
  for (const auto& note : comparison.at("notes"))
    lines.push_back(printable_text(note.get<std::string>()));
  lines.push_back(comparison.at("sentence").get<std::string>());
  return lines;
}

}  // namespace sluice::bench
