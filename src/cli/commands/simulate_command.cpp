#include "cli/commands/simulate_command.hpp"

#include <fmt/format.h>

#include <charconv>
#include <csignal>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>

#include "simulator/relay.hpp"
#include "terminal/interrupts.hpp"
#include "terminal/screen_writer.hpp"

namespace sluice::cli {
namespace {

/// The flags as they were written: an empty value is not the same as none.
struct simulate_flags {
  std::string port = "8787";
  std::string seed = "1";
  std::string rpm = "200";
  std::string mode = "sliding";
  std::string ttft = "200ms";
  std::string itl = "10ms";
  std::string tokens = "200";
  std::string faults = "none";
  std::string software = "new-api";
  std::string balance;
  std::string keys;
  std::string cheat = "none";
  std::string lacks;
  std::string chat_overhead = "0";
  bool ttft_given = false;
  bool itl_given = false;
  bool balance_given = false;
  bool keys_given = false;
  bool lacks_given = false;
};

[[noreturn]] void refuse(const std::string& flag, const std::string& value,
                         const std::string& wanted) {
  throw std::invalid_argument(value.empty()
                                  ? fmt::format("{} is empty: {}", flag, wanted)
                                  : fmt::format("{} {} cannot be used: {}", flag, value, wanted));
}

/// A whole number of the range, or a refusal that says what is wanted.
template <class Number>
Number read_number(const std::string& flag, const std::string& text, Number least, Number most,
                   const std::string& wanted) {
  Number number{};
  const auto* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || stop != end || number < least || number > most)
    refuse(flag, text, wanted);
  return number;
}

/// What the simulator makes of the text; a refusal names the flag.
template <class Read>
auto read_with(Read read, const std::string& flag, const std::string& text) {
  try {
    return read(text);
  } catch (const std::invalid_argument& problem) {
    throw std::invalid_argument(fmt::format("{}: {}", flag, problem.what()));
  }
}

simulator::options read(const simulate_flags& flags) {
  simulator::options options;
  options.port = read_number<std::uint16_t>("--port", flags.port, 0, 65535,
                                            "give a port from 0 (any free one) to 65535");
  constexpr auto largest_seed = std::numeric_limits<std::uint64_t>::max();
  options.seed =
      read_number<std::uint64_t>("--seed", flags.seed, 0, largest_seed,
                                 fmt::format("give a whole number from 0 to {}", largest_seed));
  options.rpm = read_number("--rpm", flags.rpm, 0, std::numeric_limits<int>::max(),
                            "give a number of requests a minute, 0 for no limit");
  const auto mode = simulator::parse_limit_mode(flags.mode);
  if (!mode) refuse("--mode", flags.mode, "give sliding, bucket, fixed or leaky");
  options.mode = *mode;
  options.ttft = read_with(simulator::parse_duration, "--ttft", flags.ttft);
  options.itl = read_with(simulator::parse_duration, "--itl", flags.itl);
  if (flags.faults == "slow") {
    const auto slow = simulator::profile_options("slow");
    if (!flags.ttft_given) options.ttft = slow.ttft;
    if (!flags.itl_given) options.itl = slow.itl;
  }
  options.tokens =
      read_number("--tokens", flags.tokens, 1, 1'000'000, "give a mean length from 1 to 1000000");
  options.faults = read_with(simulator::parse_fault_profile, "--faults", flags.faults);
  const auto kind = simulator::parse_software(flags.software);
  if (!kind)
    refuse("--software", flags.software, "give new-api, old-new-api, one-api, openai or api2gpt");
  options.kind = *kind;
  if (flags.balance_given) {
    options.balance = simulator::usd::parse(flags.balance);
    if (!options.balance)
      refuse("--balance", flags.balance, "give US dollars as a plain decimal such as 0.50");
  }
  if (flags.keys_given) {
    if (flags.keys.empty()) refuse("--keys", flags.keys, "give a text file with one key a line");
    options.keys = simulator::read_keys(flags.keys, options);
  }
  options.cheat = read_with(simulator::parse_cheat, "--cheat", flags.cheat);
  if (flags.lacks_given)
    options.lacks = read_with(simulator::parse_lacking, "--lacks", flags.lacks);
  options.chat_overhead = read_number<std::uint64_t>(
      "--chat-overhead", flags.chat_overhead, 0, 1000, "give a number of tokens from 0 to 1000");
  return options;
}

void serve_until_signalled(simulator::options options) {
  options.tell = [](const std::string& sentence) { standard_error().line("sluice: " + sentence); };
  simulator::relay relay(options);
  // Blocked before the serving thread exists, which inherits it: the signals wait for sigwait.
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

void add_simulate_command(CLI::App& program, int& exit_status) {
  auto flags = std::make_shared<simulate_flags>();
  auto* command = program.add_subcommand("simulate", "Serve a simulated relay on a local port");
  command->option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  command->add_option("--port", flags->port, "Port to listen on; 0 for any free one")
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--seed", flags->seed, "What contents, delays and faults are drawn from")
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--rpm", flags->rpm, "Requests a minute it lets through; 0 for no limit")
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--mode", flags->mode, "How it counts: sliding, bucket, fixed, leaky")
      ->type_name("MODE")
      ->capture_default_str();
  auto* ttft = command->add_option("--ttft", flags->ttft, "Mean time to the first token")
                   ->type_name("TIME")
                   ->capture_default_str();
  auto* itl = command->add_option("--itl", flags->itl, "Mean time between tokens")
                  ->type_name("TIME")
                  ->capture_default_str();
  command->add_option("--tokens", flags->tokens, "Mean length of an answer, in tokens")
      ->type_name("N")
      ->capture_default_str();
  command
      ->add_option(
          "--faults", flags->faults,
          "none, faulty, slow (2 s to the first token, 20 ms a\ntoken), or KIND=PROBABILITY,...")
      ->type_name("PROFILE")
      ->capture_default_str();
  command
      ->add_option("--software", flags->software,
                   "What tells of keys and models: new-api, old-new-api,\none-api, openai, api2gpt")
      ->type_name("NAME")
      ->capture_default_str();
  auto* balance =
      command->add_option("--balance", flags->balance, "USD on the account (default: unlimited)")
          ->type_name("USD");
  auto* keys =
      command->add_option("--keys", flags->keys, "Keys it accepts, one KEY [RPM [BALANCE]] a line")
          ->type_name("FILE");
  command->add_option("--cheat", flags->cheat, "How it cheats; see below")
      ->type_name("KIND")
      ->capture_default_str();
  auto* lacks =
      command
          ->add_option("--lacks", flags->lacks,
                       "What it ignores in a body, as some honest relays do: any of\nlogprobs, "
                       "tools, json-schema, with commas between")
          ->type_name("LIST");
  command
      ->add_option("--chat-overhead", flags->chat_overhead,
                   "Tokens that a chat's prompt has beyond those usually counted")
      ->type_name("N")
      ->capture_default_str();
  command->footer(
      "Kinds of faults that 'faulty' mixes: 429, 429-hint, 500, 502, reset, reset-late, stall, "
      "cut,\n"
      "error-in-200, html-200, ragged. Others, by name alone:\n"
      "  refusals      429-reset (x-ratelimit-* alone), no-channel (503), no-price (500),\n"
      "                model-denied (403), key-spent (401), quota (403 or 429, by its codes),\n"
      "                quota-in-words (400 to 500, as other vendors tell it), no-model (404),\n"
      "                too-large (429), tier-full (498 or 429), no-stream (500)\n"
      "  bad streams   error-mid-stream (in many forms), no-finish ([DONE], and no finish "
      "reasons),\n"
      "                broken-off (finish reasons that say so)\n"
      "  good replies  filtered (400 with a completion), json-for-stream, stream-for-json, crlf, "
      "cr,\n"
      "                keep-alives, no-done, held-open, usage-on-last, usage-on-every, no-usage,\n"
      "                usage-dialect, content-parts, null-finish\n"
      "Kinds of cheats, of which it tells nothing:\n"
      "  substituted  answers with gpt-3.5-turbo where a model of gpt-4o's vocabulary is sold, "
      "and\n"
      "               with gpt-4o-mini where another one is\n"
      "  mixed        the same in a tenth of the calls; mixed=0.3 in three tenths\n"
      "  inflated     tells and bills 1.1 to 1.5 times the tokens\n"
      "  injected     puts a prompt of 20 to 200 tokens before every chat\n"
      "  fake-stream  sends a stream all at once, at its end\n"
      "  overbilled   charges 1.2 to 2 times what the tokens cost\n"
      "Times are written 250ms, 10s, 2m, 1h.\n"
      "What it saw and billed stands at /simulator/ledger; ?requests=1 adds every request. Keys "
      "can\n"
      "be asked about on the routes of --software: billing, key usage and log, model list, "
      "prices.\n"
      "\n"
      "Examples:\n"
      "  sluice simulate\n"
      "  sluice simulate --faults faulty --rpm 60 --balance 0.50\n"
      "  sluice simulate --faults cut=0.05,429-hint=0.02 --seed 7\n"
      "  sluice simulate --faults error-mid-stream=0.3,keep-alives=0.7\n"
      "  sluice simulate --cheat inflated --seed 3\n"
      "  sluice simulate --ttft 0 --itl 0 --rpm 0        as fast as it can, for benchmarks\n"
      "  curl -s http://127.0.0.1:8787/simulator/ledger");
  // Asked before the program's own check, which would call the word an unknown command.
  command->parse_complete_callback([command] {
    const auto extra = command->remaining();
    if (!extra.empty() && !extra.front().starts_with('-'))
      throw CLI::ValidationError(
          fmt::format("simulate takes flags alone, and '{}' is none", extra.front()));
  });
  command->callback([flags, ttft, itl, balance, keys, lacks, &exit_status] {
    flags->ttft_given = ttft->count() > 0;
    flags->itl_given = itl->count() > 0;
    flags->balance_given = balance->count() > 0;
    flags->keys_given = keys->count() > 0;
    flags->lacks_given = lacks->count() > 0;
    try {
      serve_until_signalled(read(*flags));
      exit_status = 0;
    } catch (const std::exception& problem) {
      standard_error().line(fmt::format("sluice: {}", problem.what()));
      exit_status = 2;
    }
  });
}

}  // namespace sluice::cli
