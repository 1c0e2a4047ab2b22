#include "cli/commands/probe_command.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>

#include "account/quota_inquiry.hpp"
#include "async/steady_clock.hpp"
#include "cli/inquiry.hpp"
#include "cli/log_observer.hpp"
#include "cli/settings/price_lists.hpp"
#include "cli/settings/relay_setup.hpp"
#include "cli/views/heading.hpp"
#include "cli/views/probe_report.hpp"
#include "cli/views/run_summary.hpp"
#include "cli/views/screen.hpp"
#include "probe/evaluate.hpp"
#include "probe/plan.hpp"
#include "probe/session.hpp"
#include "sluice/engine.hpp"
#include "terminal/exit_status.hpp"
#include "terminal/interrupts.hpp"
#include "terminal/standard_output.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;

constexpr std::size_t at_once = 4;  // requests; more would disturb the times of the streams
constexpr unsigned attempts_each = 3;

struct probe_settings {
  inquiry_settings inquiry;
  std::string model;
  usd budget = *usd::parse("0.05");
};

[[noreturn]] void refuse(const std::string& sentence) {
  throw fatal_error(fatal_error::kind::cannot_start, sentence);
}

// What a probe learns beside the answers.
struct books {
  std::optional<usd> before;
  std::optional<usd> after;
  std::string why_unknown;
  std::optional<std::vector<account::usage_log_row>> log;
};

// One probe of one relay, on the event loop.
class probing {
 public:
  probing(asio::io_context& loop, const config& options, const relay_member& member,
          const probe::claim& sold, const probe::plan& planned, usd budget, std::uint64_t seed)
      : time_(loop),
        client_(make_http_client(loop, time_, member.relay)),
        inquiry_(*client_, member.relay, &log_observer()),
        runner_(loop, options, &log_observer()),
        session_(sold, planned, budget, fmt::format("probe {}", seed)) {}

  asio::awaitable<run_outcome> run() {
    const auto before = co_await ask_balance();
    if (stopped_) co_return run_outcome{stop_reason::interrupted, {}, {}};
    const double started = time_.unix_now();
    auto outcome = co_await runner_.run(session_, session_);
    if (before && !session_.seen().empty()) {
      books_.before = before;
      books_.after = co_await ask_balance();
    }
    if (!session_.seen().empty()) co_await ask_log(started);
    leave();
    co_return outcome;
  }

  /// Nothing new is sent, and what is in flight is broken off after a while.
  void stop(duration grace) {
    stopped_ = true;
    runner_.stop();
    close();
    end_ = time_.call_at(time_.now() + grace, [this] { runner_.abort(); });
  }
  void abort() { runner_.abort(); }
  /// It is over, and the loop may end.
  void leave() {
    if (end_ != 0) time_.cancel(std::exchange(end_, 0));
    close();
  }

  const probe::session& answers() const noexcept { return session_; }
  const books& found() const noexcept { return books_; }

 private:
  // The client keeps connections open, and with them the loop.
  void close() {
    client_->stop_sending();
    client_->abort();
  }

  asio::awaitable<std::optional<usd>> ask_balance() {
    account::quota_inquiry inquiry(inquiry_, time_);
    const auto quota = co_await inquiry.ask_thriftily();
    if (!quota) {
      books_.why_unknown = "the relay does not tell the balance of this key";
    } else if (!quota->used) {
      books_.why_unknown = "the relay does not tell what this key has used";
    } else {
      co_return quota->used;
    }
    co_return std::nullopt;
  }

  asio::awaitable<void> ask_log(double since) {
    account::quota_inquiry inquiry(inquiry_, time_);
    books_.log = co_await inquiry.ask_log();
    if (!books_.log) co_return;
    constexpr double clocks_apart = 120;
    std::erase_if(*books_.log, [&](const account::usage_log_row& row) {
      return row.time && static_cast<double>(*row.time) < since - clocks_apart;
    });
  }

  steady_clock time_;
  std::unique_ptr<http_client> client_;
  relay_inquiry inquiry_;
  engine runner_;
  probe::session session_;
  books books_;
  clock::timer end_ = 0;
  bool stopped_ = false;
};

probe::account_facts facts_of(const books& found, const probe::session& answers,
                              const std::string& model, const std::string& tariff_name) {
  probe::account_facts told;
  told.expected = answers.cost();
  told.expected_at_most = answers.rounded_cost();
  told.tariff = tariff_name;
  told.why_unknown = found.why_unknown;
  if (found.before && found.after) {
    usd drop = *found.after;
    drop -= *found.before;
    if (drop > usd{}) {
      told.drop = drop;
    } else {
      told.why_unknown = "the balance did not move; the relay may book later";
    }
  }
  std::set<std::string> served;
  for (const auto& row : found.log.value_or(std::vector<account::usage_log_row>{})) {
    if (row.model != model) continue;
    ++told.rows;
    if (row.served_model && *row.served_model != model) served.insert(*row.served_model);
  }
  told.served.assign(served.begin(), served.end());
  return told;
}

// How a run ended that brought no answers.
exit_status status_without_answers(stop_reason why) {
  switch (why) {
    case stop_reason::wrong_address:
    case stop_reason::bad_certificate:
    case stop_reason::bad_proxy:
      return cannot_start;
    default:
      return stopped;
  }
}

probe::claim claim_of(const probe_settings& chosen, const relay_member& member,
                      const relay_prices& prices) {
  auto sold = probe::claim_of(chosen.model, member.name, prices);
  if (!sold) {
    refuse(
        fmt::format("there is no price for {}, so nothing would bound what the probe spends; "
                    "give one with --prices",
                    chosen.model));
  }
  return *std::move(sold);
}

// What a bill is held against, and how a person is told of it.
struct tariff {
  relay_prices prices;
  std::string name;
};

constexpr const char* by_own_list = "by the relay's own price list";

// The prices that the settings name; where they name none, those that the relay tells.
tariff tariff_of(const run_settings& run, const relay_member& member, const std::string& model) {
  if (asks_for_prices(run)) return {load_prices(run), by_own_list};
  const bool named =
      run.multiplier_given || member.price_multiplier || !run.engine.price_files.empty();
  if (!named) {
    const auto answer = ask_price_list(member, run.price_group);
    if (answer.told && answer.told->prices.find(model, endpoint::chat_completions)) {
      return {load_prices(run, member, answer.told->prices), by_own_list};
    }
    spdlog::debug("{} {}", name_of(member),
                  answer.told ? fmt::format("lists no price for {}", model) : answer.why_not);
  }
  return {load_prices(run), fmt::format("at {} times the price", member.price_multiplier.value_or(
                                                                     run.engine.price_multiplier))};
}

relay_member only_member(const std::vector<relay_member>& members) {
  if (members.size() == 1) return members.front();
  refuse("several relays are configured; name the one to probe with --relay");
}

exit_status probe_relay(probe_settings& chosen) {
  run_settings& run = chosen.inquiry.run;
  screen shown;
  start_log(shown, run.verbose, run.quiet, run.log_file);
  const auto simulated =
      run.simulate ? start_simulator(run, chosen.inquiry.simulated_balance) : nullptr;
  const relay_member member = only_member(find_members(chosen.inquiry, simulated != nullptr));
  shown.heading(heading(run, simulated != nullptr));
  warn_of_exposed_keys(run.engine);
  if (chosen.model.empty()) {
    refuse("--model is missing; name the model that the relay sells, like --model gpt-4");
  }
  if (!run.config_file.empty()) shown.show_heading();  // the relay may get the key
  const tariff charged = tariff_of(run, member, chosen.model);
  const probe::claim sold = claim_of(chosen, member, charged.prices);

  config options = run.engine;
  options.pool.clear();
  options.relay = member.relay;
  options.pace.concurrency = at_once;
  options.pace.max_attempts = attempts_each;
  options.pace.keep_going = true;  // refusals are answers, too
  if (!simulated) share_limit(options.pace);
  options.check();

  const std::uint64_t seed = options.pace.seed != 0 ? options.pace.seed : std::random_device{}();
  const probe::plan planned = probe::make_plan(sold, chosen.budget, seed);
  if (planned.samples.empty()) {
    refuse(fmt::format("--budget {}: not one request fits into it; give more",
                       chosen.budget.to_string()));
  }
  spdlog::info("{} requests for {}, {} USD at most of a budget of {}", planned.samples.size(),
               sold.model, planned.at_most.to_string(), chosen.budget.to_string());

  asio::io_context loop(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
  probing probe(loop, options, member, sold, planned, chosen.budget, seed);
  run_outcome outcome;
  std::exception_ptr fault;
  {
    interrupts signals(loop);
    signals.listen([&] { probe.stop(run.grace); }, [&probe] { probe.abort(); });
    asio::co_spawn(loop, probe.run(), [&](std::exception_ptr thrown, run_outcome ended) {
      fault = std::move(thrown);
      outcome = std::move(ended);
      signals.leave();
      probe.leave();
    });
    loop.run();
    if (fault) std::rethrow_exception(fault);
    if (signals.came()) return interrupted;
  }

  const auto& answers = probe.answers();
  const bool some_answered = std::any_of(answers.seen().begin(), answers.seen().end(),
                                         [](const auto& one) { return one.answered; });
  if (const auto sentence = stop_sentence(outcome); !sentence.empty()) {
    shown.line("sluice: " + sentence);
  }
  if (!some_answered) {
    if (outcome.reason == stop_reason::none && !answers.seen().empty()) {
      spdlog::error("{} answered none of {} requests: {}", name_of(member), answers.seen().size(),
                    answers.seen().front().refusal);
    }
    return status_without_answers(outcome.reason);
  }

  probe::evidence found;
  found.sold = sold;
  found.seen = answers.seen();
  found.account = facts_of(probe.found(), answers, sold.model, charged.name);
  const probe::report told = probe::evaluate(found);
  const probe_facts facts{.model = sold.model,
                          .relay = name_of(member),
                          .requests = answers.attempts(),
                          .cost = answers.cost()};
  if (chosen.inquiry.json) {
    print(probe_document(told, facts));
  } else {
    print(probe_lines(told, facts));
  }
  const bool accused =
      told.told == probe::verdict::suspicious || told.told == probe::verdict::inconsistent;
  return accused ? some_failed : success;
}

}  // namespace

void add_probe_command(CLI::App& program, int& exit_status) {
  struct state {
    probe_settings chosen;
    settings flags{table(), run_tables(chosen.inquiry.run)};
    std::string config;

    std::vector<setting> table() {
      auto entries =
          inquiry_flags(chosen.inquiry, {"rpm", "seed", "prices", "price-multiplier", "price-group",
                                         "first-byte-timeout", "give-up-after"});
      entries.push_back({.name = "model",
                         .value = "NAME",
                         .help = "The model that the relay sells",
                         .group = "Probe",
                         .apply = [this](const std::string& name) { chosen.model = name; },
                         .in_config = false});
      entries.push_back({.name = "budget",
                         .value = "USD",
                         .help = "Never spend more than this (0.05)",
                         .group = "Probe",
                         .apply =
                             [this](const std::string& text) {
                               const auto budget = usd::parse(text);
                               if (!budget || *budget == usd{}) {
                                 throw bad_setting("give a decimal above zero, like 0.05");
                               }
                               chosen.budget = *budget;
                             },
                         .in_config = false});
      return entries;
    }
  };
  auto kept = std::make_shared<state>();
  auto* command = program.add_subcommand(
      "probe", "Tell whether a relay serves the model it sells and bills right");
  command->add_option("--config", kept->config, "Config file (./sluice.toml)")->type_name("FILE");
  kept->flags.add_to(*command);
  command->footer(
      "Asks a few dozen short questions, within the budget, and holds the answers, the counts of\n"
      "tokens and the relay's own books against the model that is sold. The checks:\n" +
      probe_checks_help() +
      "A bill is held against --prices and --price-multiplier, else against the relay's own price\n"
      "list, of the key's --price-group, where it tells one.\n"
      "Exit status: 0 consistent or inconclusive, 1 suspicious or inconsistent, 2 cannot start,\n"
      "3 the relay did not answer, 130 interrupted.\n"
      "\n"
      "Examples:\n"
      "  sluice probe --simulate --model gpt-4o-mini\n"
      "  OPENAI_API_KEY=... sluice probe --base-url https://relay.example/v1 --model gpt-4\n"
      "  sluice probe --model gpt-4 --budget 0.5 --price-multiplier 1.2 --json | jq .verdict");
  command->callback([kept, &exit_status] {
    read_settings(kept->flags, kept->config, kept->chosen.inquiry.run);
    kept->chosen.inquiry.simulated_balance = simulator::usd::parse("100");
    exit_status = probe_relay(kept->chosen);
  });
}

}  // namespace sluice::cli
