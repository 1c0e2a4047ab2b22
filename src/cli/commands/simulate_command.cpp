#include "cli/commands/simulate_command.hpp"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "simulator/relay.hpp"
#include "sluice/error.hpp"
#include "terminal/interrupts.hpp"
#include "terminal/screen_writer.hpp"

namespace sluice::cli {
namespace {

struct simulate_settings {
  simulator::options relay;
  /// As given on the command line; they win over the values of --faults slow.
  std::optional<std::chrono::nanoseconds> ttft;
  std::optional<std::chrono::nanoseconds> itl;
  bool slow = false;
  /// File of the keys; empty: any key is accepted.
  std::string keys;
};

constexpr std::chrono::milliseconds usual_ttft{200};
constexpr std::chrono::milliseconds usual_itl{10};
constexpr std::uint16_t usual_port = 8787;

// A whole number in a range. `wanted`: the error message for other texts.
template <class Number>
auto number_of(Number& place, Number least, Number most, std::string wanted) {
  return [&place, least, most, wanted = std::move(wanted)](const std::string& text) {
    Number number{};
    const auto* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc{} || stop != end || number < least || number > most) {
      throw bad_setting(wanted);
    }
    place = number;
  };
}

// A value that the simulator parses, with a function that throws std::invalid_argument.
template <class Value, class Read>
auto read_by(Read read, Value& place) {
  return [read, &place](const std::string& text) {
    try {
      place = read(text);
    } catch (const std::invalid_argument& problem) {
      throw bad_setting(problem.what());
    }
  };
}

// A word that the simulator parses, with a function that returns nullopt for other words.
template <class Value, class Read>
auto word_of(Read read, Value& place, std::string wanted) {
  return [read, &place, wanted = std::move(wanted)](const std::string& text) {
    const auto value = read(text);
    if (!value) throw bad_setting(wanted);
    place = *value;
  };
}

auto time_of(std::optional<std::chrono::nanoseconds>& place) {
  return [&place](const std::string& text) { place = parse_duration(text); };
}

std::vector<setting> simulate_flags(simulate_settings& target) {
  auto& relay = target.relay;
  constexpr auto largest_seed = std::numeric_limits<std::uint64_t>::max();
  constexpr std::uint64_t longest_overhead = 1000;
  const std::string at_server = "Server";
  const std::string at_limit = "Rate limit and money";
  const std::string at_replies = "Replies";
  const std::string at_trouble = "Faults and cheats";
  std::vector<setting> table{
      {.name = "port",
       .value = "N",
       .group = at_server,
       .short_help = "Port to listen on; 0: any free one",
       .long_help = "The simulator listens on this port of 127.0.0.1. 0 takes any free port, which "
                    "the first line on the screen names.",
       .default_value = "8787",
       .apply = number_of<std::uint16_t>(relay.port, 0, 65535,
                                         "give a port from 0 (any free one) to 65535")},
      {.name = "seed",
       .value = "N",
       .group = at_server,
       .short_help = "Seed of contents, delays and faults",
       .long_help =
           "The same seed and the same requests give the same contents, delays and faults.",
       .default_value = "1",
       .apply =
           number_of<std::uint64_t>(relay.seed, 0, largest_seed,
                                    fmt::format("give a whole number from 0 to {}", largest_seed))},
      {.name = "software",
       .value = "NAME",
       .group = at_server,
       .short_help = "Relay software whose account routes it has",
       .long_help =
           "Which routes answer about keys, models and prices, and in which form. Set it to "
           "the software of the relay that you want to rehearse for.",
       .default_value = "new-api",
       .choices = {"new-api", "old-new-api", "one-api", "openai", "api2gpt"},
       .apply = word_of(simulator::parse_software, relay.kind,
                        "give new-api, old-new-api, one-api, openai or api2gpt")},
      {.name = "rpm",
       .value = "N",
       .group = at_limit,
       .short_help = "Requests per minute it accepts; 0: no limit",
       .long_help = "The rate limit of the simulated relay. Requests beyond it get a 429. 0 means "
                    "no limit.",
       .default_value = "200",
       .apply = number_of(relay.rpm, 0, std::numeric_limits<int>::max(),
                          "give a number of requests a minute, 0 for no limit")},
      {.name = "mode",
       .value = "MODE",
       .group = at_limit,
       .short_help = "How it counts requests",
       .long_help =
           "'sliding' counts the last 60 s, 'fixed' counts from minute to minute, 'bucket' "
           "is a token bucket, and 'leaky' lets one request through every 60/N s.",
       .default_value = "sliding",
       .choices = {"sliding", "bucket", "fixed", "leaky"},
       .apply = word_of(simulator::parse_limit_mode, relay.mode,
                        "give sliding, bucket, fixed or leaky")},
      {.name = "balance",
       .value = "USD",
       .group = at_limit,
       .short_help = "Money on the account, instead of no limit",
       .long_help =
           "When the account has spent this much, requests are refused as an exhausted key. "
           "Without it, the account has no limit.",
       .apply = word_of([](const std::string& text) { return simulator::usd::parse(text); },
                        relay.balance, "give US dollars as a plain decimal such as 0.50")},
      {.name = "keys",
       .value = "FILE",
       .group = at_limit,
       .short_help = "Keys it accepts, one KEY [RPM [BALANCE]] a line",
       .long_help = "Accepts only the keys of this file, each with its own rate limit and balance. "
                    "Without it, any key is accepted and all share one account.",
       .apply =
           [&target](const std::string& path) {
             if (path.empty()) throw bad_setting("give a text file with one key a line");
             target.keys = path;
           }},
      {.name = "ttft",
       .value = "TIME",
       .group = at_replies,
       .short_help = "Mean time to the first token",
       .long_help = "Each reply varies by up to half of it. 0 answers at once, for benchmarks.",
       .default_value = "200ms",
       .apply = time_of(target.ttft)},
      {.name = "itl",
       .value = "TIME",
       .group = at_replies,
       .short_help = "Mean time between two tokens",
       .long_help = "Each reply varies by up to half of it. 0 sends all tokens at once, for "
                    "benchmarks.",
       .default_value = "10ms",
       .apply = time_of(target.itl)},
      {.name = "tokens",
       .value = "N",
       .group = at_replies,
       .short_help = "Mean length of a reply, in tokens",
       .long_help = "Each reply varies by up to half of it. A max_tokens in the request cuts it "
                    "short.",
       .default_value = "200",
       .apply = number_of(relay.tokens, 1, 1'000'000, "give a mean length from 1 to 1000000")},
      {.name = "chat-overhead",
       .value = "N",
       .group = at_replies,
       .short_help = "Extra prompt tokens of each chat",
       .long_help = "Counts this many tokens more for the prompt of a chat than usual, as some "
                    "models do.",
       .default_value = "0",
       .apply = number_of<std::uint64_t>(relay.chat_overhead, 0, longest_overhead,
                                         "give a number of tokens from 0 to 1000")},
      {.name = "cache",
       .value = "HOW",
       .group = at_replies,
       .short_help = "Which long prompts are read from a cache",
       .long_help = "From 1,024 tokens on, a prompt may be read from the cache. 'by-text' takes "
                    "half of them, by their text alone. 'memory' takes those with the opening of "
                    "an earlier prompt, as real relays do. 'none' takes none.",
       .default_value = "by-text",
       .choices = {"by-text", "memory", "none"},
       .apply =
           word_of(simulator::parse_prompt_cache, relay.cache, "give by-text, memory or none")},
      {.name = "faults",
       .value = "PROFILE",
       .group = at_trouble,
       .short_help = "none, faulty, slow, or a list of KIND=PROBABILITY",
       .long_help =
           "'faulty' mixes the common failures of real relays, and 'slow' takes 2 s to the "
           "first token and 20 ms for each token. Or name kinds of faults with the share of "
           "requests that get them, like cut=0.05.",
       .default_value = "none",
       .apply =
           [&target,
            read = read_by(simulator::parse_fault_profile, relay.faults)](const std::string& text) {
             read(text);
             target.slow = text == "slow";
           }},
      {.name = "cheat",
       .value = "KIND",
       .group = at_trouble,
       .short_help = "How the relay cheats; --help lists the kinds",
       .long_help =
           "The relay cheats in this way and does not admit it. Use it to see what 'sluice "
           "probe' and 'sluice report --audit' find.",
       .default_value = "none",
       .apply = read_by(simulator::parse_cheat, relay.cheat)},
      {.name = "lacks",
       .value = "LIST",
       .group = at_trouble,
       .short_help = "Parts of a request it ignores, with commas between",
       .long_help = "Ignores these parts of a request, as some honest relays do: any of logprobs, "
                    "tools, json-schema, with commas between.",
       .apply = read_by(simulator::parse_missing_features, relay.lacks)}};
  for (auto& entry : table) entry.in_config = false;
  return table;
}

// The options of the simulator, after all flags are applied.
simulator::options options_of(const simulate_settings& chosen) {
  simulator::options options = chosen.relay;
  const auto slow = simulator::profile_options("slow");
  options.ttft = chosen.ttft.value_or(chosen.slow ? slow.ttft : usual_ttft);
  options.itl = chosen.itl.value_or(chosen.slow ? slow.itl : usual_itl);
  if (!chosen.keys.empty()) options.keys = simulator::read_keys(chosen.keys, options);
  return options;
}

void serve_until_signalled(simulator::options options) {
  options.tell = [](const std::string& sentence) { standard_error().line("sluice: " + sentence); };
  simulator::relay relay(options);
  // Block the signals before the serving thread starts, because it inherits the mask. sigwait()
  // receives them.
  sigset_t stops;
  sigemptyset(&stops);
  for (const int signal : stop_signals) {
    if (!is_ignored(signal)) sigaddset(&stops, signal);
  }
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &stops, &before);
  relay.start();

  const auto url = relay.base_url();
  const auto origin = url.substr(0, url.size() - std::string("/v1").size());
  standard_error().line(fmt::format(
      "simulated relay: OPENAI_BASE_URL={} OPENAI_API_KEY={}, ledger: curl -s {}/simulator/ledger",
      url, options.keys.empty() ? "any" : "(one of the keys file)", origin));
  int signal = 0;
  sigwait(&stops, &signal);
  relay.stop();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  std::string summary = relay.ledger_summary();
  summary.pop_back();  // the newline
  standard_error().line(summary);
}

}  // namespace

command simulate_command() {
  auto chosen = std::make_shared<simulate_settings>();
  chosen->relay.port = usual_port;
  const auto flags = std::make_shared<settings>(simulate_flags(*chosen));
  return {
      .name = "simulate",
      .summary = "Serve a simulated relay on a local port",
      .description =
          "What the relay saw and billed stands at /simulator/ledger; ?requests=1 adds every "
          "request. The routes of --software answer about keys: billing, usage and log, models, "
          "prices.\n"
          "\n"
          "The faults that 'faulty' mixes are 429, 429-hint, 500, 502, reset, reset-late, stall, "
          "cut, error-in-200, html-200 and ragged. Others, only by name:\n"
          "\n"
          "  Refusals:\n"
          "    429-reset        only x-ratelimit-* headers\n"
          "    no-channel       503\n"
          "    no-price         500\n"
          "    model-denied     403\n"
          "    key-spent        401\n"
          "    quota            403 or 429, with error codes for it\n"
          "    quota-in-words   400 to 500, in the words of other vendors\n"
          "    no-model         404\n"
          "    too-large        429\n"
          "    tier-full        498 or 429\n"
          "    no-stream        500\n"
          "  Bad replies:\n"
          "    hang             billed, but not a single byte comes\n"
          "    error-mid-stream in many forms\n"
          "    no-finish        [DONE] without finish reasons\n"
          "    broken-off       finish reasons that say so\n"
          "  Good replies in unusual forms:\n"
          "    filtered (400 with a completion), json-for-stream, stream-for-json, crlf,\n"
          "    cr, keep-alives, no-done, held-open, early-head (the head comes at once),\n"
          "    usage-on-last, usage-on-every, no-usage, usage-dialect, content-parts,\n"
          "    null-finish, malformed\n"
          "\n"
          "The kinds of --cheat:\n"
          "\n"
          "  substituted  answers with gpt-3.5-turbo where a model with the tokenizer of\n"
          "               gpt-4o is sold, and with gpt-4o-mini for other models\n"
          "  mixed        the same in a tenth of the calls; mixed=0.3 in three tenths\n"
          "  inflated     reports and bills 1.1 to 1.5 times the tokens\n"
          "  injected     puts a prompt of 20 to 200 tokens before every chat\n"
          "  fake-stream  sends a stream all at once, at its end\n"
          "  overbilled   charges 1.2 to 2 times what the tokens cost\n"
          "  endless      ignores the limit of an answer's length\n"
          "  cache-kept   reports tokens read from the cache, but charges the full price\n",
      .common_flags = {"port", "seed", "rpm", "mode", "software", "ttft", "itl", "tokens", "faults",
                       "cheat", "balance", "keys"},
      .exit_statuses = {{0, "ended by a signal"}, {2, "cannot start"}},
      .examples = {"sluice simulate", "sluice simulate --faults faulty --rpm 60 --balance 0.50",
                   "sluice simulate --faults cut=0.05,429-hint=0.02 --seed 7",
                   "sluice simulate --cheat inflated --seed 3",
                   "sluice simulate --ttft 0 --itl 0 --rpm 0",
                   "curl -s http://127.0.0.1:8787/simulator/ledger"},
      .flags = flags,
      .run =
          [chosen, flags] {
            flags->apply(std::nullopt);
            try {
              serve_until_signalled(options_of(*chosen));
            } catch (const std::exception& problem) {
              throw fatal_error(fatal_error::kind::cannot_start, problem.what());
            }
            return success;
          },
  };
}

}  // namespace sluice::cli
