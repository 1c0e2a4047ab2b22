#include "cli/settings/bench_settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <utility>

#include "cli/settings/suggestion.hpp"
#include "sluice/error.hpp"

namespace sluice::cli {
namespace {

constexpr std::uint64_t most_in_flight = 100'000;
constexpr double most_rate = 1'000'000;
constexpr double least_rate = 0.01;
constexpr std::uint64_t most_tokens = 2'000'000;
constexpr unsigned usual_concurrency = 8;
// Of a load that is asked for by its time alone: as many as the limit allows.
constexpr unsigned concurrency_at_limit = 64;
constexpr unsigned widest_sweep = 256;
constexpr duration usual_time = std::chrono::seconds{60};

[[noreturn]] void refuse(const std::string& sentence) {
  throw fatal_error(fatal_error::kind::cannot_start, sentence);
}

// Calls `take` for each part between commas.
void split(const std::string& list, const std::function<void(const std::string&)>& take) {
  std::size_t begin = 0;
  for (;;) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    take(list.substr(begin, end - begin));
    if (end == list.size()) return;
    begin = end + 1;
  }
}

double parse_rate(const std::string& text) {
  double rate = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), rate);
  if (error != std::errc() || stop != text.data() + text.size() || !(rate >= least_rate) ||
      rate > most_rate) {
    throw bad_setting(fmt::format("'{}' is no rate; write starts a minute, like 120", text));
  }
  return rate;
}

unsigned parse_concurrency(const std::string& text) {
  try {
    const auto number = parse_count(text, most_in_flight);
    if (number != 0) return static_cast<unsigned>(number);
  } catch (const bad_setting& fault) {
    throw bad_setting(fmt::format("'{}' {}", text, fault.what()));
  }
  throw bad_setting("0 in flight measure nothing; give 1 or more");
}

std::uint64_t parse_some(const std::string& text, std::uint64_t most) {
  const auto number = parse_count(text, most);
  if (number == 0) throw bad_setting("give 1 or more");
  return number;
}

// A sweep goes from A up to B.
template <typename Number>
void check_span(const std::vector<Number>& list, std::string_view flag) {
  if (list.size() < 2 || (list.size() == 2 && list.front() <= list.back())) return;
  refuse(fmt::format("--sweep goes from A up to B: write {} A, or {} A,B", flag, flag));
}

// The variable that holds the key of a target: "my-relay" has MY_RELAY_API_KEY.
std::string key_variable(const std::string& name) {
  std::string variable;
  for (const unsigned char c : name) {
    variable += std::isalnum(c) != 0 ? static_cast<char>(std::toupper(c)) : '_';
  }
  return variable + "_API_KEY";
}

}  // namespace

bench_settings::bench_settings() {
  inquiry.run.engine.relay.total_timeout = relay_options{}.total_timeout;
}

std::vector<setting> bench_flags(bench_settings& target) {
  auto table =
      inquiry_flags(target.inquiry, {"rpm", "tpm", "pace", "window-margin", "seed", "prices",
                                     "price-multiplier", "price-group", "first-byte-timeout",
                                     "no-stream", "no-include-usage", "max-wait", "grace"});
  for (auto& entry : table) {
    if (entry.name == "timeout") entry.help = "For a whole request (600s)";
    if (entry.name == "seed")
      entry.help = "Of prompts and Poisson arrivals; 0: another each time (0)";
    if (entry.name == "relay") entry.help = "Measure this one of the [[relay]] tables alone";
    if (entry.name == "quiet") entry.help = "No progress, nothing but errors";
    if (entry.name == "verbose") entry.help = "Log every failure";
  }
  const std::string at_load = "Load";
  const std::string at_requests = "Requests";
  const auto own = [&](setting entry) {
    entry.in_config = false;
    table.push_back(std::move(entry));
  };
  own({.name = "model",
       .value = "NAME",
       .help = "The model to ask; of a JOB, for lines that name none",
       .group = at_requests,
       .apply = [&target](const std::string& name) { target.model = name; }});
  own({.name = "prompt-tokens",
       .value = "N",
       .help = "Length of the made-up prompts (64)",
       .group = at_requests,
       .apply = [&target](const std::string& text) {
         target.prompt_tokens = parse_some(text, most_tokens);
         target.lengths_given = true;
       }});
  own({.name = "max-tokens",
       .value = "N",
       .help = "Longest reply to them (64)",
       .group = at_requests,
       .apply = [&target](const std::string& text) {
         target.max_tokens = static_cast<std::int64_t>(parse_some(text, most_tokens));
         target.lengths_given = true;
       }});
  own({.name = "concurrency",
       .value = "A,B,...",
       .help = "So many requests in flight, a load each (8)",
       .group = at_load,
       .apply = [&target](const std::string& list) {
         split(list, [&](const std::string& one) {
           target.concurrency.push_back(parse_concurrency(one));
         });
       }});
  own({.name = "rate",
       .value = "A,B,...",
       .help = "So many starts a minute whatever becomes of them, a load each",
       .group = at_load,
       .apply = [&target](const std::string& list) {
         split(list, [&](const std::string& one) { target.rates.push_back(parse_rate(one)); });
       }});
  own({.name = "rate-kind",
       .value = "even|poisson",
       .help = "How --rate spreads the starts (even)",
       .group = at_load,
       .apply = [&target](const std::string& kind) {
         if (kind != "even" && kind != "poisson") throw bad_setting("is none of even, poisson");
         target.arrivals =
             kind == "even" ? bench::arrival_kind::even : bench::arrival_kind::poisson;
       }});
  own({.name = "sweep",
       .help = "Double the load from A to B until throughput no longer grows",
       .group = at_load,
       .apply = [&target](const std::string& on) { target.sweep = parse_switch(on); }});
  own({.name = "requests",
       .value = "N",
       .help = "Measured of each load (three for each in flight, at least 20)",
       .group = at_load,
       .apply = [&target](const std::string& text) {
         target.requests = parse_some(text, std::numeric_limits<std::int64_t>::max());
       }});
  own({.name = "duration",
       .value = "TIME",
       .help = "Start new ones so long; alone: as many as the limit allows",
       .group = at_load,
       .apply = [&target](const std::string& text) {
         target.time = parse_duration(text);
         if (target.time <= duration{}) throw bad_setting("give a time above zero, like 60s");
       }});
  own({.name = "warmup",
       .value = "N",
       .help = "Requests before each load that are not measured (0)",
       .group = at_load,
       .apply = [&target](const std::string& text) {
         target.warmup = parse_count(text, std::numeric_limits<std::int64_t>::max());
       }});
  own({.name = "find-limit",
       .help = "Find the relay's real limit of requests a minute, and how it counts",
       .group = at_load,
       .apply = [&target](const std::string& on) { target.find_limit = parse_switch(on); }});
  own({.name = "ceiling",
       .value = "N",
       .help = "Of --find-limit: never start more in any 60 s (600)",
       .group = at_load,
       .apply = [&target](const std::string& text) {
         target.ceiling = static_cast<unsigned>(parse_some(text, most_in_flight));
       }});
  own({.name = "target",
       .value = "NAME[=URL]",
       .help = "Measure several side by side; repeatable",
       .group = "Relay",
       .apply = [&target](const std::string& given) { target.targets.push_back(given); },
       .repeatable = true});
  own({.name = "budget",
       .value = "USD",
       .help = "Never spend more than this, over all loads and targets",
       .group = "Money",
       .apply = [&target](const std::string& text) {
         const auto budget = usd::parse(text);
         if (!budget || *budget == usd{}) {
           throw bad_setting("give a decimal above zero, like 0.50");
         }
         target.budget = *budget;
       }});
  own({.name = "html",
       .value = "FILE",
       .help = "Write a page with plots that needs nothing else to be opened",
       .group = "Report",
       .apply = [&target](const std::string& path) { target.html = path; }});
  own({.name = "compare",
       .value = "OLD.json",
       .help = "Tell what has changed since, and whether that is more than noise",
       .group = "Report",
       .apply = [&target](const std::string& path) { target.compare = path; }});
  return table;
}

bench::load_plan plan_of(const bench_settings& chosen) {
  if (!chosen.concurrency.empty() && !chosen.rates.empty()) {
    refuse("--concurrency and --rate are two kinds of load; give one of them");
  }
  if (chosen.find_limit) {
    if (chosen.sweep || !chosen.concurrency.empty() || !chosen.rates.empty() ||
        chosen.warmup != 0 || chosen.time > duration{}) {
      refuse(
          "--find-limit chooses its own load; leave --concurrency, --rate, --sweep, --duration and "
          "--warmup out");
    }
    return bench::load_plan({});
  }
  const bool open = !chosen.rates.empty();
  if (chosen.sweep) {
    check_span(chosen.concurrency, "--concurrency");
    check_span(chosen.rates, "--rate");
  }
  if (!open && chosen.arrivals == bench::arrival_kind::poisson) {
    refuse("--rate-kind says how --rate spreads its starts; give --rate, too");
  }
  bench::load one;
  one.arrivals = chosen.arrivals;
  one.requests = chosen.requests;
  one.time = chosen.time;
  one.warmup = chosen.warmup;
  const bool said = one.requests != 0 || one.time > duration{};
  if (open && !said) one.time = usual_time;
  const auto closed = [&](unsigned concurrency) {
    bench::load made = one;
    made.concurrency = concurrency;
    if (!said && !chosen.sweep) made.requests = std::max(20U, 3 * concurrency);
    if (!said && chosen.sweep) made.time = usual_time / 6;
    return made;
  };
  const auto opened = [&](double rate) {
    bench::load made = one;
    made.rate = rate;
    return made;
  };
  if (chosen.sweep && open) {
    constexpr double octaves = 64;
    const double first = chosen.rates.front();
    return bench::load_plan::sweep(opened(first),
                                   chosen.rates.size() > 1 ? chosen.rates.back() : first * octaves);
  }
  if (chosen.sweep) {
    const unsigned first = chosen.concurrency.empty() ? 1 : chosen.concurrency.front();
    return bench::load_plan::sweep(closed(first), chosen.concurrency.size() > 1
                                                      ? chosen.concurrency.back()
                                                      : std::max(first, widest_sweep));
  }
  std::vector<bench::load> list;
  for (const double rate : chosen.rates) list.push_back(opened(rate));
  for (const unsigned concurrency : chosen.concurrency) list.push_back(closed(concurrency));
  if (list.empty()) {
    const bool by_time_alone = one.requests == 0 && one.time > duration{};
    list.push_back(closed(by_time_alone ? concurrency_at_limit : usual_concurrency));
  }
  return bench::load_plan(std::move(list));
}

void use_targets(bench_settings& chosen) {
  if (chosen.targets.empty()) return;
  run_settings& run = chosen.inquiry.run;
  if (run.simulate) refuse("--simulate has one relay of its own; leave --target out");
  std::vector<relay_member> pool;
  std::vector<key_place> keys;
  for (const auto& given : chosen.targets) {
    const std::size_t sign = given.find('=');
    const std::string name = given.substr(0, sign);
    if (name.empty()) {
      refuse(fmt::format("--target '{}' has no name; write it like blue=https://blue.example/v1",
                         given));
    }
    if (sign != std::string::npos) {
      relay_member member;
      member.name = name;
      member.relay.base_url = given.substr(sign + 1);
      pool.push_back(std::move(member));
      const std::string variable = key_variable(name);
      keys.push_back({std::getenv(variable.c_str()) != nullptr ? variable : std::string(), {}});
      continue;
    }
    std::vector<std::string> names;
    for (const auto& member : run.engine.pool) names.push_back(member.name);
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      refuse(
          fmt::format("--target {}: the config file has no [[relay]] of that name{}; or write "
                      "{}=URL",
                      name, did_you_mean(name, names), name));
    }
    const auto place = static_cast<std::size_t>(found - names.begin());
    pool.push_back(run.engine.pool[place]);
    keys.push_back(run.pool_keys[place]);
  }
  run.engine.pool = std::move(pool);
  run.pool_keys = std::move(keys);
}

}  // namespace sluice::cli
