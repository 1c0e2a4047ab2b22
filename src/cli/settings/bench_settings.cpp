#include "cli/settings/bench_settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <utility>

#include "base/refuse.hpp"
#include "settings/suggestion.hpp"

namespace sluice::cli {
namespace {

constexpr std::uint64_t most_in_flight = 100'000;
constexpr double most_rate = 1'000'000;
constexpr double least_rate = 0.01;
constexpr std::uint64_t most_tokens = 2'000'000;
constexpr unsigned usual_concurrency = 8;
// For a load that has only a duration: enough to use the whole rate limit.
constexpr unsigned concurrency_at_limit = 64;
constexpr unsigned widest_sweep = 256;
constexpr duration usual_time = std::chrono::seconds{60};

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
    throw bad_setting(fmt::format("'{}' is not a rate; write starts per minute, like 120", text));
  }
  return rate;
}

unsigned parse_concurrency(const std::string& text) {
  try {
    const auto number = parse_count(text, most_in_flight);
    if (number != 0) return static_cast<unsigned>(number);
  } catch (const bad_setting& fault) {
    throw bad_setting(fmt::format("'{}' is {}", text, fault.what()));
  }
  throw bad_setting("0 requests in flight measure nothing; give 1 or more");
}

std::uint64_t parse_positive(const std::string& text, std::uint64_t most) {
  const auto number = parse_count(text, most);
  if (number == 0) throw bad_setting("give 1 or more");
  return number;
}

// Refuses a list that is not a range: a sweep goes from A up to B.
template <typename Number>
void check_span(const std::vector<Number>& list, std::string_view flag) {
  if (list.size() < 2 || (list.size() == 2 && list.front() <= list.back())) return;
  refuse(fmt::format("--sweep goes from A up to B: write {} A, or {} A,B", flag, flag));
}

// The variable with the key of a target: MY_RELAY_API_KEY for "my-relay".
std::string key_variable(const std::string& name) {
  std::string variable;
  for (const char letter : name) {
    const auto c = static_cast<unsigned char>(letter);
    variable += std::isalnum(c) != 0 ? static_cast<char>(std::toupper(c)) : '_';
  }
  return variable + "_API_KEY";
}

}  // namespace

bench_settings::bench_settings() {
  query.run.engine.relay.total_timeout = relay_options{}.total_timeout;
}

std::vector<setting> bench_flags(bench_settings& target) {
  auto table = query_flags(
      target.query, {"rpm", "tpm", "pace", "window-margin", "seed", "prices", "price-multiplier",
                     "price-group", "tier-default", "first-byte-timeout", "no-stream",
                     "no-include-usage", "max-wait", "until", "deadline", "grace"});
  describe(table, "timeout", "Longest time for a whole request",
           "A request fails when it is not over after this time, from the start of the connection "
           "to the last byte. Raise it for very long replies.",
           "600s");
  describe(table, "seed", "Seed of prompts and Poisson arrivals; 0: a new one",
           "The same seed gives the same prompts and the same random starts. 0 means another seed "
           "each time. Set it to compare two benchmarks.");
  describe(
      table, "verbose", "Log every failed request",
      "Logs each failed request with its reason. Use it to see what the errors of a load are.");
  describe(table, "max-wait", "Stop when the relay asks for a longer wait",
           "When the relay says to come back later than this, the benchmark stops with exit status "
           "3 and reports what it measured.");
  const std::string at_load = "Load";
  const std::string at_requests = "Requests";
  const auto own = [&](setting entry) {
    entry.in_config = false;
    table.push_back(std::move(entry));
  };
  const auto on = [](bool& place) {
    return [&place](const std::string& given) { place = parse_switch(given); };
  };
  own({.name = "model",
       .value = "NAME",
       .group = at_requests,
       .short_help = "Model to measure",
       .long_help = "The model that the generated requests name. Lines of a JOB that name no model "
                    "use it, too.",
       .apply = [&target](const std::string& name) { target.model = name; }});
  own({.name = "prompt-tokens",
       .value = "N",
       .group = at_requests,
       .short_help = "Length of the generated prompts, in tokens",
       .long_help = "Each generated prompt has about this many tokens. Set it to the length of "
                    "your own prompts. Lines of a JOB keep theirs.",
       .default_value = "64",
       .apply = [&target](const std::string& text) {
         target.prompt_tokens = parse_positive(text, most_tokens);
         target.lengths_given = true;
       }});
  own({.name = "max-tokens",
       .value = "N",
       .group = at_requests,
       .short_help = "Longest reply to a generated prompt, in tokens",
       .long_help = "The generated requests ask for at most this many tokens. Set it to the length "
                    "of the replies you expect.",
       .default_value = "64",
       .apply = [&target](const std::string& text) {
         target.max_tokens = static_cast<std::int64_t>(parse_positive(text, most_tokens));
         target.lengths_given = true;
       }});
  own({.name = "concurrency",
       .value = "A,B,...",
       .group = at_load,
       .short_help = "Requests in flight; one load for each number",
       .long_help =
           "Keeps this many requests in flight: when one ends, the next one starts. Several "
           "numbers give one load each, in order. Without --concurrency and --rate there "
           "is one load with 8.",
       .apply = [&target](const std::string& list) {
         split(list, [&](const std::string& one) {
           target.concurrency.push_back(parse_concurrency(one));
         });
       }});
  own({.name = "rate",
       .value = "A,B,...",
       .group = at_load,
       .short_help = "Starts per minute; one load for each number",
       .long_help = "Starts requests at this rate and does not wait for replies (an open loop). "
                    "Several numbers give one load each, in order. Use it to see how a relay "
                    "behaves under traffic that does not slow down.",
       .apply = [&target](const std::string& list) {
         split(list, [&](const std::string& one) { target.rates.push_back(parse_rate(one)); });
       }});
  own({.name = "rate-kind",
       .value = "KIND",
       .group = at_load,
       .short_help = "How --rate spreads the starts",
       .long_help = "'even' starts requests at equal distances. 'poisson' starts them at random "
                    "distances, as independent users do.",
       .default_value = "even",
       .choices = {"even", "poisson"},
       .apply = [&target](const std::string& kind) {
         if (kind != "even" && kind != "poisson") throw bad_setting("must be one of even, poisson");
         target.arrivals =
             kind == "even" ? bench::arrival_kind::even : bench::arrival_kind::poisson;
       }});
  own({.name = "sweep",
       .group = at_load,
       .short_help = "Double the load until throughput stops growing",
       .long_help = "Runs loads from A up to B of --concurrency or --rate, each twice the one "
                    "before, and ends when the throughput no longer grows.",
       .apply = on(target.sweep)});
  own({.name = "requests",
       .value = "N",
       .group = at_load,
       .short_help = "Requests to measure in each load",
       .long_help = "Each load ends after N requests. Without it and --duration, a load measures "
                    "three requests for each one in flight, and at least 20.",
       .apply = [&target](const std::string& text) {
         target.requests = parse_positive(text, std::numeric_limits<std::int64_t>::max());
       }});
  own({.name = "duration",
       .value = "TIME",
       .group = at_load,
       .short_help = "How long each load starts requests",
       .long_help = "Each load starts requests for this time. Without --concurrency and --rate it "
                    "starts as many as the limit allows.",
       .apply = [&target](const std::string& text) {
         target.time = parse_duration(text);
         if (target.time <= duration{}) throw bad_setting("give a time above zero, like 60s");
       }});
  own({.name = "warmup",
       .value = "N",
       .group = at_load,
       .short_help = "Requests before each load that do not count",
       .long_help = "Sends N requests before each load without measuring them, so that connections "
                    "are open. They cost tokens like any other.",
       .default_value = "0",
       .apply = [&target](const std::string& text) {
         target.warmup = parse_count(text, std::numeric_limits<std::int64_t>::max());
       }});
  own({.name = "find-limit",
       .group = at_load,
       .short_help = "Find the relay's real rate limit and how it counts",
       .long_help = "Sends short requests until the relay refuses three, then a few more to see "
                    "when it accepts them again. It stays within --ceiling, --requests and "
                    "--budget (0.10 USD where none is given).",
       .apply = on(target.find_limit)});
  own({.name = "ceiling",
       .value = "N",
       .group = at_load,
       .short_help = "Most starts in any 60 s for --find-limit",
       .long_help = "The search for the limit never starts more than N requests in any 60 s. Raise "
                    "it where the relay's limit is higher.",
       .default_value = "600",
       .apply = [&target](const std::string& text) {
         target.ceiling = static_cast<unsigned>(parse_positive(text, most_in_flight));
       }});
  own({.name = "target",
       .value = "NAME[=URL]",
       .group = "Relay",
       .short_help = "Measure this relay; may be repeated",
       .long_help =
           "Measures several relays side by side. A NAME alone is a [[relay]] table of the "
           "config file; NAME=URL is another relay, whose key comes from NAME_API_KEY or "
           "else from OPENAI_API_KEY. May be repeated.",
       .apply = [&target](const std::string& given) { target.targets.push_back(given); },
       .repeatable = true});
  own({.name = "budget",
       .value = "USD",
       .group = "Money",
       .short_help = "Never spend more than this on the benchmark",
       .long_help = "A hard limit on the cost of all loads and targets together. Each request "
                    "reserves its worst case before it is sent.",
       .apply = [&target](const std::string& text) { target.budget = parse_spending(text); }});
  own(html_flag(target.html));
  own({.name = "compare",
       .value = "OLD.json",
       .group = "Report",
       .short_help = "Compare with an earlier benchmark",
       .long_help = "Reads the document that an earlier 'bench --json' printed, and shows what has "
                    "changed since, and whether the change is more than noise.",
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
          "--find-limit chooses its own load; leave out --concurrency, --rate, --sweep, --duration "
          "and --warmup");
    }
    return bench::load_plan({});
  }
  const bool open = !chosen.rates.empty();
  if (chosen.sweep) {
    check_span(chosen.concurrency, "--concurrency");
    check_span(chosen.rates, "--rate");
  }
  if (!open && chosen.arrivals == bench::arrival_kind::poisson) {
    refuse("--rate-kind needs --rate, whose starts it spreads; add --rate");
  }
  bench::load one;
  one.arrivals = chosen.arrivals;
  one.requests = chosen.requests;
  one.time = chosen.time;
  one.warmup = chosen.warmup;
  const bool sized = one.requests != 0 || one.time > duration{};
  if (open && !sized) one.time = usual_time;
  const auto closed = [&](unsigned concurrency) {
    bench::load made = one;
    made.concurrency = concurrency;
    if (!sized && !chosen.sweep) made.requests = std::max(20U, 3 * concurrency);
    if (!sized && chosen.sweep) made.time = usual_time / 6;
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
  run_settings& run = chosen.query.run;
  if (run.simulate) refuse("--simulate replaces all relays; leave out --target");
  std::vector<relay_member> pool;
  std::vector<key_source> keys;
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
