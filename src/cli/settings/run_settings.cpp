#include "cli/settings/run_settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <limits>

#include "sluice/error.hpp"

namespace sluice::cli {
namespace {

std::string read_key_file(const std::string& path) {
  std::ifstream file(path);
  std::string key;
  if (!file || !std::getline(file, key)) {
    throw bad_setting("cannot be read; it should hold the key in its first line");
  }
  while (!key.empty() && (key.back() == '\r' || key.back() == ' ')) key.pop_back();
  if (key.empty()) throw bad_setting("its first line is empty; it should hold the key");
  return key;
}

unsigned parse_mode(const std::string& text) {
  unsigned mode = 0;
  const auto* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, mode, 8);
  constexpr unsigned owner = 0600;
  if (error != std::errc() || stop != end || mode > 0777 || (mode & owner) != owner) {
    throw bad_setting(fmt::format(
        "'{}' is no mode that the owner can read and write; write it like 0600 or 0640", text));
  }
  return mode;
}

usd parse_budget(const std::string& text) {
  const auto amount = usd::parse(text);
  if (!amount) throw bad_setting(fmt::format("'{}' is no amount of USD; write it like 2.50", text));
  return *amount;
}

constexpr std::uint64_t most_assumed_tokens = 100'000'000;

std::pair<std::string, std::string> parse_header(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos || colon == 0) {
    throw bad_setting("is no header; write it like 'X-Team: blue'");
  }
  const std::size_t value = std::min(text.find_first_not_of(' ', colon + 1), text.size());
  return {text.substr(0, colon), text.substr(value)};
}

endpoint parse_endpoint(const std::string& text) {
  for (const auto target : {endpoint::chat_completions, endpoint::completions, endpoint::embeddings,
                            endpoint::responses}) {
    const std::string_view path = to_string(target);
    if (text == path || text == path.substr(1) || text == path.substr(4)) return target;
  }
  throw bad_setting("is none of chat/completions, completions, embeddings, responses");
}

template <typename Enum>
Enum parse_choice(const std::string& text,
                  std::initializer_list<std::pair<std::string_view, Enum>> choices) {
  std::string names;
  for (const auto& [name, value] : choices) {
    if (text == name) return value;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  throw bad_setting("is none of " + names);
}

constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
constexpr std::uint64_t most_rpm = 1'000'000;
constexpr std::uint64_t most_weight = 1000;

}  // namespace

std::vector<setting> run_flags(run_settings& target) {
  auto& relay = target.engine.relay;
  auto& pace = target.engine.pace;
  auto& job = target.engine.job;
  auto& output = target.engine.output;
  const auto text = [](std::string& place) {
    return [&place](const std::string& given) { place = given; };
  };
  const auto on = [](bool& place, bool value = true) {
    return [&place, value](const std::string& given) { place = parse_switch(given) == value; };
  };
  const auto time = [](duration& place) {
    return [&place](const std::string& given) { place = parse_duration(given); };
  };
  const auto count = [](unsigned& place) {
    return [&place](const std::string& given) {
      place = static_cast<unsigned>(parse_count(given, most_rpm));
    };
  };
  const auto size = [](std::uint64_t& place) {
    return [&place](const std::string& given) { place = parse_count(given, most); };
  };

  const std::string at_relay = "Relay";
  const std::string at_job = "Job";
  const std::string at_limit = "Limit and retries";
  const std::string at_output = "Results";
  const std::string at_money = "Money";
  const std::string at_screen = "Screen and log";
  return {
      {.name = "base-url",
       .value = "URL",
       .help = "Relay or API: https://host/v1; with a # behind it, the endpoint itself",
       .group = at_relay,
       .apply = text(relay.base_url),
       .environment = "OPENAI_BASE_URL"},
      {.name = "api-key",
       .help = {},
       .group = {},
       .apply = text(relay.api_key),
       .environment = "OPENAI_API_KEY",
       .on_line = false,  // a flag's value is seen by every user
       .secret = true},
      {.name = "api-key-file",
       .value = "FILE",
       .help = "File that holds the key (or: OPENAI_API_KEY)",
       .group = at_relay,
       .apply = [&relay](const std::string& path) { relay.api_key = read_key_file(path); }},
      {.name = "header",
       .value = "'NAME: VALUE'",
       .help = "Send this header too; may be repeated",
       .group = at_relay,
       .apply =
           [&relay](const std::string& given) { relay.headers.push_back(parse_header(given)); },
       .repeatable = true,
       .secret = true},
      {.name = "simulate",
       .value = "PROFILE",
       .help = "Use the built-in simulator: clean, faulty or slow",
       .group = at_relay,
       .apply = [&target](const std::string& profile) { target.simulate = profile; },
       .bare_value = "clean"},
      {.name = "insecure",
       .help = "Do not check the relay's certificate",
       .group = at_relay,
       .apply = on(relay.insecure)},
      {.name = "connect-timeout",
       .value = "TIME",
       .help = "For name, connection and TLS (10s)",
       .group = at_relay,
       .apply = time(relay.connect_timeout)},
      {.name = "first-byte-timeout",
       .value = "TIME",
       .help = "Until a stream's first byte (120s)",
       .group = at_relay,
       .apply = time(relay.first_byte_timeout)},
      {.name = "idle-timeout",
       .value = "TIME",
       .help = "Between two bytes of a reply (60s)",
       .group = at_relay,
       .apply = time(relay.idle_timeout)},
      {.name = "timeout",
       .value = "TIME",
       .help = "For a whole attempt (600s)",
       .group = at_relay,
       .apply = time(relay.total_timeout)},
      {.name = "max-response-bytes",
       .value = "N",
       .help = "Largest reply that is taken (64 MiB)",
       .group = at_relay,
       .apply = size(relay.max_response_bytes)},

      {.name = "model",
       .value = "NAME",
       .help = "Model for lines that name none",
       .group = at_job,
       .apply = text(job.model)},
      {.name = "override-model",
       .help = "Use --model for every line",
       .group = at_job,
       .apply = on(job.override_model)},
      {.name = "system",
       .value = "TEXT",
       .help = "System message for lines that have none",
       .group = at_job,
       .apply = text(job.system)},
      {.name = "endpoint",
       .value = "PATH",
       .help = "For lines without a url: chat/completions, ...",
       .group = at_job,
       .apply = [&job](const std::string& given) { job.target = parse_endpoint(given); }},
      {.name = "no-stream",
       .help = "Do not ask for streamed replies",
       .group = at_job,
       .apply = on(job.stream, false)},
      {.name = "stream",
       .help = "Ask for them, whatever the config file says (default)",
       .group = at_job,
       .apply = on(job.stream)},
      {.name = "no-include-usage",
       .help = "Do not ask streams for their usage",
       .group = at_job,
       .apply = on(job.include_usage, false)},
      {.name = "limit",
       .value = "N",
       .help = "Only the first N requests of each job",
       .group = at_job,
       .apply = size(job.limit)},
      {.name = "strict",
       .help = "Refuse to start when a line is bad",
       .group = at_job,
       .apply = on(job.strict)},
      {.name = "max-line-bytes",
       .value = "N",
       .help = "Longest line of a job (64 MiB)",
       .group = at_job,
       .apply = size(job.max_line_bytes)},

      {.name = "rpm",
       .value = "N",
       .help = "Attempts in any 60 s, as the relay counts (200; 0: no limit)",
       .group = at_limit,
       .apply = count(pace.requests_per_minute)},
      {.name = "tpm",
       .value = "N",
       .help = "Tokens in any 60 s, by estimate and usage (0: no limit)",
       .group = at_limit,
       .apply = size(pace.tokens_per_minute)},
      {.name = "concurrency",
       .value = "N",
       .help = "Attempts in flight (64; 0: no limit)",
       .group = at_limit,
       .apply = count(pace.concurrency)},
      {.name = "pace",
       .value = "burst|even",
       .help = "Start at once, or one every 60/N s (burst)",
       .group = at_limit,
       .apply =
           [&pace](const std::string& given) {
             pace.pace =
                 parse_choice<pacing>(given, {{"burst", pacing::burst}, {"even", pacing::even}});
           }},
      {.name = "window-margin",
       .value = "TIME",
       .help = "Longest way of a request to the relay (1s)",
       .group = at_limit,
       .apply = time(pace.window_margin)},
      {.name = "max-attempts",
       .value = "N",
       .help = "Attempts for one request (5)",
       .group = at_limit,
       .apply = count(pace.max_attempts)},
      {.name = "max-wait",
       .value = "TIME",
       .help = "Stop when the relay asks for more (10m)",
       .group = at_limit,
       .apply = time(pace.max_wait)},
      {.name = "give-up-after",
       .value = "TIME",
       .help = "Stop after trouble without a success (10m)",
       .group = at_limit,
       .apply = time(pace.give_up_after)},
      {.name = "keep-going",
       .help = "Do not stop where requests are refused alike",
       .group = at_limit,
       .apply = on(pace.keep_going)},
      {.name = "grace",
       .value = "TIME",
       .help = "For what is in flight after Ctrl-C (30s)",
       .group = at_limit,
       .apply = time(target.grace)},
      {.name = "seed",
       .value = "N",
       .help = "Of backoff and simulator; 0: another each time (0)",
       .group = at_limit,
       .apply = size(pace.seed)},

      {.name = "output",
       .letter = 'o',
       .value = "FILE",
       .help = "Output of a single job",
       .group = at_output,
       .apply = text(output.output_file),
       .in_config = false},
      {.name = "output-dir",
       .value = "DIR",
       .help = "Where results go (beside the job)",
       .group = at_output,
       .apply = text(output.directory)},
      {.name = "fresh",
       .help = "Move earlier results aside and start over",
       .group = at_output,
       .apply = on(output.fresh),
       .in_config = false},
      {.name = "retry-failed",
       .help = "Also try again what failed for good",
       .group = at_output,
       .apply = on(output.retry_failed)},
      {.name = "durability",
       .value = "each|second|none",
       .help = "When lines must be on disk (second)",
       .group = at_output,
       .apply =
           [&output](const std::string& given) {
             output.durable = parse_choice<durability>(given, {{"each", durability::each},
                                                               {"second", durability::second},
                                                               {"none", durability::none}});
           }},
      {.name = "changed",
       .value = "redo|keep",
       .help = "Results whose request was changed or is gone (refuse to start)",
       .group = at_output,
       .apply =
           [&output](const std::string& given) {
             output.changed = parse_choice<on_change>(
                 given, {{"redo", on_change::redo}, {"keep", on_change::keep}});
           },
       .in_config = false},
      {.name = "mode",
       .value = "MODE",
       .help = "Permissions of the files made, in octal (0600)",
       .group = at_output,
       .apply = [&output](const std::string& given) { output.mode = parse_mode(given); }},

      {.name = "prices",
       .value = "FILE|relay",
       .help = "Laid over the built-in table; 'relay': what it tells; repeatable",
       .group = at_money,
       .apply = [&target](const std::string& path) { target.engine.price_files.push_back(path); },
       .repeatable = true},
      {.name = "price-multiplier",
       .value = "X",
       .help = "The relay's group ratio, like 0.8 (1)",
       .group = at_money,
       .apply =
           [&target](const std::string& given) {
             target.engine.price_multiplier = given;
             target.multiplier_given = true;
           }},
      {.name = "price-group",
       .value = "NAME",
       .help = "The key's group in the relay's own list (default)",
       .group = at_money,
       .apply = text(target.price_group)},
      {.name = "budget",
       .value = "USD",
       .help = "Never spend more than this on the jobs",
       .group = at_money,
       .apply = [&output](const std::string& given) { output.budget = parse_budget(given); }},
      {.name = "budget-mode",
       .value = "job|run",
       .help = "Count the jobs' whole life, or this run alone (job)",
       .group = at_money,
       .apply =
           [&output](const std::string& given) {
             output.scope = parse_choice<budget_scope>(
                 given, {{"job", budget_scope::job}, {"run", budget_scope::run}});
           }},
      {.name = "assume-max-tokens",
       .value = "N",
       .help = "Under a budget: of a reply that nothing else bounds",
       .group = at_money,
       .apply =
           [&output](const std::string& given) {
             output.assume_max_tokens =
                 static_cast<std::int64_t>(parse_count(given, most_assumed_tokens));
           }},

      {.name = "quiet",
       .letter = 'q',
       .help = "No progress and no summary",
       .group = at_screen,
       .apply = on(target.quiet)},
      {.name = "verbose",
       .letter = 'v',
       .help = "Log every failed attempt",
       .group = at_screen,
       .apply = on(target.verbose)},
      {.name = "log-file",
       .value = "FILE",
       .help = "Write the log there as well",
       .group = at_screen,
       .apply = text(target.log_file)},
  };
}

std::vector<setting> run_flags(run_settings& target, const std::set<std::string>& on_line) {
  auto table = run_flags(target);
  for (auto& entry : table) entry.on_line = entry.on_line && on_line.count(entry.name) > 0;
  return table;
}

namespace {

std::string read_key_variable(const std::string& name) {
  const char* key = std::getenv(name.c_str());
  if (key == nullptr || *key == '\0') {
    throw bad_setting(fmt::format("the environment has no {}, which should hold the key", name));
  }
  return key;
}

// A key that was put where its name belongs is not to be shown.
std::string parse_variable(const std::string& name) {
  constexpr std::string_view letters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
  if (name.empty() || name.find_first_not_of(letters) != std::string::npos) {
    throw bad_setting("is no name of a variable; name the one that holds the key");
  }
  return name;
}

// One member of a pool.
std::vector<setting> relay_settings(relay_member& member, key_place& key) {
  return {
      {.name = "name", .apply = [&member](const std::string& given) { member.name = given; }},
      {.name = "base_url",
       .apply = [&member](const std::string& given) { member.relay.base_url = given; }},
      {.name = "api_key_env",
       .apply = [&key](const std::string& name) { key.variable = parse_variable(name); }},
      {.name = "api_key_file", .apply = [&key](const std::string& path) { key.file = path; }},
      {.name = "rpm",
       .apply =
           [&member](const std::string& given) {
             member.requests_per_minute = static_cast<unsigned>(parse_count(given, most_rpm));
           }},
      {.name = "weight",
       .apply =
           [&member](const std::string& given) {
             member.weight = static_cast<unsigned>(parse_count(given, most_weight));
           }},
      {.name = "price_multiplier",
       .apply = [&member](const std::string& given) { member.price_multiplier = given; }},
      {.name = "models",
       .apply = {},
       .apply_pair = [&member](const std::string& here,
                               const std::string& there) { member.models[here] = there; }},
  };
}

}  // namespace

std::vector<setting_tables> run_tables(run_settings& target) {
  return {{.name = "relay", .begin = [&target] {
             auto& member = target.engine.pool.emplace_back();
             member.relay.base_url.clear();
             return relay_settings(member, target.pool_keys.emplace_back());
           }}};
}

void read_settings(const settings& flags, const std::string& named_config, run_settings& target) {
  const auto config = find_config(named_config);
  flags.apply(config);
  if (config) target.config_file = config->path;
  if (flags.on_line("base-url")) target.engine.pool.clear();  // the line wins over the file
}

void read_pool_keys(run_settings& target) {
  for (std::size_t i = 0; i < target.engine.pool.size(); ++i) {
    auto& member = target.engine.pool[i];
    const auto& [variable, file] = target.pool_keys[i];
    try {
      if (!variable.empty()) {
        member.relay.api_key = read_key_variable(variable);
      } else if (!file.empty()) {
        member.relay.api_key = read_key_file(file);
      }
    } catch (const bad_setting& fault) {
      throw fatal_error(
          fatal_error::kind::cannot_start,
          fmt::format("[[relay]] {}: {} {}", member.name,
                      variable.empty() ? "api_key_file" : "api_key_env:", fault.what()));
    }
  }
}

}  // namespace sluice::cli
