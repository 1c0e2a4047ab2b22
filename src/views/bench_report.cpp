#include "views/bench_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "base/printable.hpp"
#include "json/text.hpp"
#include "loadtest/benchmark.hpp"
#include "loadtest/client_load.hpp"
#include "views/progress.hpp"

namespace sluice::cli {
namespace {

using nlohmann::ordered_json;

std::optional<double> number(const ordered_json& of, const char* name) {
  const auto found = of.find(name);
  if (found == of.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

std::optional<double> number(const ordered_json& of, const char* name, const char* part) {
  const auto found = of.find(name);
  if (found == of.end() || !found->is_object()) return std::nullopt;
  return number(*found, part);
}

std::string text(const ordered_json& of, const char* name) {
  const auto found = of.find(name);
  return found != of.end() && found->is_string() ? printable_text(found->get<std::string>())
                                                 : std::string();
}

std::uint64_t count(const ordered_json& of, const char* name) {
  return static_cast<std::uint64_t>(std::llround(number(of, name).value_or(0)));
}

// Three digits, since a measurement is not more exact.
std::string short_number(std::optional<double> value) {
  if (!value) return "-";
  if (*value >= 999.5) return grouped(static_cast<std::uint64_t>(std::llround(*value)));
  return fmt::format("{:.{}f}", *value, *value >= 99.95 ? 0 : *value >= 9.995 ? 1 : 2);
}

std::string load_name(const ordered_json& load) {
  if (const auto rate = number(load, "rate")) {
    return fmt::format("{:.6g}/min{}", *rate, text(load, "rate_kind") == "poisson" ? " P" : "");
  }
  return fmt::format("{} in flight", count(load, "concurrency"));
}

// Percentiles of fewer requests are marked, because the p99 of so few is almost their maximum.
constexpr double few_requests = 100;

bool is_of_few(const ordered_json& load, const char* name) {
  return number(load, name, "count").value_or(few_requests) < few_requests;
}

// A percentile of the load, with a star if it is based on few requests.
std::string percentile(const ordered_json& load, const char* name, const char* part) {
  const auto value = number(load, name, part);
  return short_number(value) + (value && is_of_few(load, name) ? "*" : "");
}

std::string load_row(const ordered_json& load) {
  const auto pair = [&](const char* name) {
    return fmt::format("{:>7} {:>7}", percentile(load, name, "p50"), percentile(load, name, "p99"));
  };
  return fmt::format("  {:<14} {:>6} {:>6} {:>8} {:>8} {} {:>7} {}\n", load_name(load),
                     grouped(count(load, "succeeded")), grouped(count(load, "failed")),
                     short_number(number(load, "requests_per_s")),
                     short_number(number(load, "output_tokens_per_s")), pair("ttft_ms"),
                     percentile(load, "inter_token_ms", "p50"), pair("latency_ms"));
}

constexpr std::string_view heading =
    "                                       success  output       TTFT, ms ITL, ms     latency, "
    "ms\n"
    "  load               ok failed       /s      /s     p50     p99     p50     p50     p99\n";

// If the terminal is narrower than the whole table, a smaller table is shown.
constexpr std::size_t whole_width = 93;

std::string narrow_row(const ordered_json& load) {
  return fmt::format("  {:<14} {:>6} {:>6} {:>8} {:>7} {:>7} {:>7}\n", load_name(load),
                     grouped(count(load, "succeeded")), grouped(count(load, "failed")),
                     short_number(number(load, "requests_per_s")),
                     percentile(load, "ttft_ms", "p50"), percentile(load, "inter_token_ms", "p50"),
                     percentile(load, "latency_ms", "p50"));
}

constexpr std::string_view narrow_heading =
    "  load               ok failed success    TTFT     ITL latency\n"
    "                                     /s     p50, ms\n";

std::string percent(double share) {
  return fmt::format("{:.0f} %", share * 100);
}

// Warnings that the numbers of a load may show something other than the relay.
std::vector<std::string> warnings_of(const ordered_json& load) {
  std::vector<std::string> list;
  const std::string name = load_name(load);
  const double held = number(load, "held_by_cap").value_or(0);
  if (held > bench::benchmark::held_share) {
    list.push_back(fmt::format(
        "{}: sluice's own cap of {} a minute held it for {} of the time, not the relay; raise "
        "{} if the key allows more",
        name, count(load, "rpm") != 0 ? grouped(count(load, "rpm")) : "tokens", percent(held),
        count(load, "rpm") != 0 ? "--rpm" : "--tpm"));
  }
  const double unpaid = number(load, "held_by_budget").value_or(0);
  if (unpaid > bench::benchmark::held_share) {
    list.push_back(
        fmt::format("{}: starts waited for the budget for {} of the time, not for the relay: the "
                    "highest costs of the requests in flight had used it up; raise --budget",
                    name, percent(unpaid)));
  }
  const double busy = number(load, "client_busy").value_or(0);
  if (busy > bench::client_load::too_busy) {
    list.push_back(fmt::format(
        "{}: this program was busy for {} of the time: it, not the relay, may be what the "
        "figures show",
        name, percent(busy)));
  }
  return list;
}

// Adds notes on a load that do not fit into its row. `told`: why nothing more was sent to the
// target; that reason is already shown for the whole target.
void add_notes(std::string& notes, const ordered_json& load, const std::string& told) {
  const std::string name = load_name(load);
  const auto intended = number(load, "latency_from_intended_ms", "p50");
  if (intended) {
    notes += fmt::format(
        "  {}: from the intended start, latency is {} ms (p50) and {} ms (p99); {} starts/s of "
        "{} asked\n",
        name, short_number(intended), short_number(number(load, "latency_from_intended_ms", "p99")),
        short_number(number(load, "started_per_s")), short_number(number(load, "asked_per_s")));
  }
  if (const auto waiting = count(load, "never_started"); intended && waiting > 0) {
    notes += fmt::format(
        "  {}: {} starts that were due still waited when the load ended; they count with what they "
        "had waited\n",
        name, grouped(waiting));
  }
  const auto errors = load.find("errors");
  if (errors != load.end() && errors->is_object() && !errors->empty()) {
    std::string list;
    for (const auto& [error, times] : errors->items()) {
      list +=
          fmt::format("{}{} {}", list.empty() ? "" : ", ", json_line(times), printable_text(error));
    }
    notes += fmt::format("  {}: failed: {}\n", name, list);
  }
  if (const auto why = text(load, "stopped"); !why.empty() && why != told) {
    notes += fmt::format("  {}: not all of it was sent: {}\n", name, why);
  }
  for (const auto& warning : warnings_of(load)) notes += fmt::format("  {}\n", warning);
}

std::string limit_lines(const ordered_json& limit) {
  std::string lines = fmt::format("  limit: {}\n", text(limit, "evidence"));
  const auto rate = number(limit, "rpm");
  const std::string kind = text(limit, "kind");
  if (rate) lines += fmt::format("  {} requests a minute, {}\n", short_number(rate), kind);
  const auto bound = [&](const char* name, const char* words) {
    if (const auto value = number(limit, name)) {
      lines += fmt::format("  {} {} a minute\n", words, short_number(value));
    }
  };
  bound("at_least", "at least");
  bound("at_most", "at most");
  if (kind == "none_found") {
    lines += fmt::format(
        "  sluice's own ceiling of {} a minute ended the search; raise --ceiling to look further\n",
        count(limit, "ceiling"));
  }
  lines += fmt::format("  {} requests, {} of them refused\n", grouped(count(limit, "requests")),
                       grouped(count(limit, "refused")));
  return lines;
}

bool is_simulated(const ordered_json& target) {
  const auto found = target.find("simulated");
  return found != target.end() && found->is_boolean() && found->get<bool>();
}

std::string target_lines(const ordered_json& target, bool narrow) {
  std::string name = text(target, "name");
  if (!name.empty()) name += " ";
  std::string lines = fmt::format("{}{}, {}{}\n", name, text(target, "target"),
                                  text(target, "model"), is_simulated(target) ? ", simulated" : "");
  std::string notes;
  const auto limit = target.find("limit");
  const bool searched = limit != target.end() && limit->is_object();
  if (searched) lines += limit_lines(*limit);
  const auto loads = target.find("loads");
  if (loads != target.end() && loads->is_array() && !loads->empty()) {
    lines += narrow ? narrow_heading : heading;
    for (const auto& load : *loads) {
      lines += narrow ? narrow_row(load) : load_row(load);
      add_notes(notes, load, text(target, "stopped"));
    }
    const bool few = std::any_of(loads->begin(), loads->end(), [](const ordered_json& load) {
      return is_of_few(load, "latency_ms");
    });
    if (few && !narrow) {
      notes += "  * of fewer than 100 requests: the p99 is about the slowest of them\n";
    } else if (few) {
      notes += "  * of fewer than 100 requests\n";
    }
    if (narrow) notes += "  a wider terminal shows more columns, --json all of them\n";
  } else if (!searched) {
    lines += "  nothing was measured\n";
  }
  lines += notes;
  const std::string cost = text(target, "cost_usd");
  lines += cost.empty() ? "  cost unknown\n" : fmt::format("  cost ${}\n", cost);
  if (const auto why = text(target, "stopped"); !why.empty()) {
    lines += fmt::format("  not everything was measured: {}\n", why);
  }
  return lines;
}

}  // namespace

std::vector<std::string> bench_warnings(const ordered_json& document) {
  std::vector<std::string> list;
  const auto add = [&list](const ordered_json& target) {
    const auto loads = target.find("loads");
    if (loads == target.end() || !loads->is_array()) return;
    const std::string name = text(target, "name");
    for (const auto& load : *loads) {
      for (const auto& warning : warnings_of(load)) {
        list.push_back(name.empty() ? warning : fmt::format("{}, {}", name, warning));
      }
    }
  };
  const auto targets = document.find("targets");
  if (targets == document.end() || !targets->is_array()) {
    add(document);
  } else {
    for (const auto& target : *targets) add(target);
  }
  return list;
}

std::string bench_lines(const ordered_json& document, std::size_t columns) {
  const bool narrow = columns > 0 && columns < whole_width;
  const auto targets = document.find("targets");
  if (targets == document.end() || !targets->is_array()) return target_lines(document, narrow);
  std::string lines;
  for (const auto& target : *targets) {
    if (!lines.empty()) lines += "\n";
    lines += target_lines(target, narrow);
  }
  return lines;
}

std::string ranking_line(const ordered_json& document) {
  const auto ranking = document.find("ranking");
  if (ranking == document.end() || !ranking->is_object()) return {};
  std::string sentence = text(*ranking, "sentence");
  return sentence.empty() ? sentence : sentence + "\n";
}

}  // namespace sluice::cli
