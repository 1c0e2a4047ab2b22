#include "cli/simulate_command.hpp"

#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

#include "simulator/relay.hpp"

namespace sluice::cli {
namespace {

/// The flags as they were written.
struct simulate_flags {
  int port = 8787;
  std::uint64_t seed = 1;
  int rpm = 200;
  std::string mode = "sliding";
  std::string ttft = "200ms";
  std::string itl = "10ms";
  int tokens = 200;
  std::string faults = "none";
  std::string balance;
  std::string keys;
  bool ttft_given = false;
  bool itl_given = false;
};

[[noreturn]] void refuse(const std::string& flag, const std::string& value, const char* wanted) {
  throw std::invalid_argument(flag + " " + value + " cannot be used: " + wanted);
}

simulator::options read(const simulate_flags& flags) {
  simulator::options options;
  if (flags.port < 0 || flags.port > 65535)
    refuse("--port", std::to_string(flags.port), "give a port from 0 (any free one) to 65535");
  options.port = static_cast<std::uint16_t>(flags.port);
  options.seed = flags.seed;
  if (flags.rpm < 0)
    refuse("--rpm", std::to_string(flags.rpm),
           "give a number of requests a minute, 0 for no limit");
  options.rpm = flags.rpm;
  const auto mode = simulator::parse_limit_mode(flags.mode);
  if (!mode) refuse("--mode", flags.mode, "give sliding, bucket, fixed or leaky");
  options.mode = *mode;
  options.ttft = simulator::parse_duration(flags.ttft);
  options.itl = simulator::parse_duration(flags.itl);
  if (flags.faults == "slow") {
    const auto slow = simulator::profile_options("slow");
    if (!flags.ttft_given) options.ttft = slow.ttft;
    if (!flags.itl_given) options.itl = slow.itl;
  }
  if (flags.tokens < 1 || flags.tokens > 1'000'000)
    refuse("--tokens", std::to_string(flags.tokens), "give a mean length from 1 to 1000000");
  options.tokens = flags.tokens;
  options.faults = simulator::parse_fault_profile(flags.faults);
  if (!flags.balance.empty()) {
    options.balance = simulator::usd::parse(flags.balance);
    if (!options.balance)
      refuse("--balance", flags.balance, "give US dollars as a plain decimal such as 0.50");
  }
  if (!flags.keys.empty()) options.keys = simulator::read_keys(flags.keys, options);
  return options;
}

void serve_until_signalled(const simulator::options& options) {
  simulator::relay relay(options);
  // Blocked before the serving thread exists, which inherits it: the signals wait for sigwait.
  sigset_t stops;
  sigemptyset(&stops);
  sigaddset(&stops, SIGINT);
  sigaddset(&stops, SIGTERM);
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &stops, &before);
  relay.start();

  const auto url = relay.base_url();
  const auto origin = url.substr(0, url.size() - std::string("/v1").size());
  std::fprintf(stderr,
               "simulated relay: OPENAI_BASE_URL=%s OPENAI_API_KEY=%s, ledger: curl -s "
               "%s/simulator/ledger\n",
               url.c_str(), options.keys.empty() ? "any" : "(one of the keys file)",
               origin.c_str());
  int signal = 0;
  sigwait(&stops, &signal);
  relay.stop();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  std::fputs(relay.ledger_summary().c_str(), stderr);
}

}  // namespace

void add_simulate_command(CLI::App& program, int& exit_status) {
  auto flags = std::make_shared<simulate_flags>();
  auto* command = program.add_subcommand("simulate", "Serve a simulated relay on a local port");
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
  command->add_option("--balance", flags->balance, "USD on the account (default: unlimited)")
      ->type_name("USD");
  command->add_option("--keys", flags->keys, "Keys it accepts, one KEY [RPM [BALANCE]] a line")
      ->type_name("FILE");
  command->footer(
      "Kinds of faults: 429, 429-hint, 500, 502, reset, reset-late, stall, cut, error-in-200,\n"
      "html-200, no-usage, ragged. Times are written 250ms, 10s, 2m, 1h.\n"
      "What it saw and billed stands at /simulator/ledger; ?requests=1 adds every request.\n"
      "\n"
      "Examples:\n"
      "  sluice simulate\n"
      "  sluice simulate --faults faulty --rpm 60 --balance 0.50\n"
      "  sluice simulate --faults cut=0.05,429-hint=0.02 --seed 7\n"
      "  sluice simulate --ttft 0 --itl 0 --rpm 0        as fast as it can, for benchmarks\n"
      "  curl -s http://127.0.0.1:8787/simulator/ledger");
  command->callback([flags, ttft, itl, &exit_status] {
    flags->ttft_given = ttft->count() > 0;
    flags->itl_given = itl->count() > 0;
    try {
      serve_until_signalled(read(*flags));
      exit_status = 0;
    } catch (const std::exception& problem) {
      std::fprintf(stderr, "sluice simulate: %s\n", problem.what());
      exit_status = 2;
    }
  });
}

}  // namespace sluice::cli
