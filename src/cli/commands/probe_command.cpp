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
#include "base/refuse.hpp"
#include "cli/graceful_stop.hpp"
#include "cli/log_observer.hpp"
#include "cli/relay_query.hpp"
#include "cli/screen/heading.hpp"
#include "cli/screen/progress_display.hpp"
#include "cli/screen/screen.hpp"
#include "cli/screen/wait_notice.hpp"
#include "cli/settings/prepared_relays.hpp"
#include "cli/settings/price_lists.hpp"
#include "probe/evaluate.hpp"
#include "probe/plan.hpp"
#include "probe/session.hpp"
#include "sluice/engine.hpp"
#include "terminal/exit_status.hpp"
#include "terminal/standard_output.hpp"
#include "views/probe_report.hpp"
#include "views/run_summary.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;

constexpr std::size_t samples_at_once = 4;  // more requests would disturb the times of the streams
constexpr unsigned attempts_each = 3;

struct probe_settings {
  query_settings query;
  std::string model;
  usd budget = *usd::parse("0.05");
};

// What a probe finds out about the account, in addition to the answers. The balances are the
// amounts that the key has used.
struct account_books {
  std::optional<usd> before;
  std::optional<usd> after;  // after the samples before the cache check
  std::optional<usd> after_cache_check;
  std::string why_unknown;
  std::optional<std::vector<account::usage_log_row>> log;
};

// One probe of one relay. Not thread safe: use it on the event loop's thread.
class probing {
 public:
  probing(asio::io_context& loop, const config& options, const relay_member& member,
          const probe::claim& sold, const probe::plan& planned, usd budget, std::uint64_t seed)
      : time_(loop),
        client_(make_http_client(loop, time_, member.relay)),
        inquiry_(*client_, member.relay, &log_observer()),
        runner_(loop, options, &log_observer()),
        session_(sold, planned, budget, fmt::format("probe {}", seed)),
        all_(planned.samples.size()) {}

  asio::awaitable<run_outcome> run() {
    const auto before = co_await ask_balance();
    if (stopped_) co_return run_outcome{stop_reason::interrupted, {}, {}};
    const double started = time_.unix_now();
    doing_ = {};
    auto outcome = co_await runner_.run(session_, session_);
    if (before && !session_.seen().empty()) {
      books_.before = before;
      books_.after = co_await ask_balance();
    }
    const bool goes_on = outcome.reason == stop_reason::none && !stopped_;
    if (goes_on && session_.begin_cache_check()) {
      doing_ = {};
      outcome = co_await runner_.run(session_, session_);
      if (books_.after) books_.after_cache_check = co_await ask_balance();
    }
    if (!session_.seen().empty()) co_await ask_log(started);
    co_return outcome;
  }

  /// The progress as a line for people.
  std::string progress(const line_form& form) {
    const progress_facts now = facts();
    std::optional<start_wait> wait;
    if (now.run.next_start) {
      wait = {now.run.cause, now.until_next_start_s, now.unix_now, now.run.pause};
    }
    return probe_progress({.doing = doing_.in(form.spoken),
                           .ended = session_.seen().size(),
                           .all = all_,
                           .in_flight = now.run.in_flight,
                           .cost = session_.cost(),
                           .wait = wait},
                          form);
  }
  progress_facts facts() {
    progress_facts now = facts_of(runner_);
    now.done_now = session_.seen().size();
    return now;
  }

  /// Sends no new requests.
  void stop() {
    stopped_ = true;
    runner_.stop();
    close();
  }
  void abort() { runner_.abort(); }
  /// Closes idle connections, which would keep the event loop running.
  void close() {
    client_->stop_sending();
    client_->abort();
  }
  clock& time() noexcept { return time_; }

  const probe::session& answers() const noexcept { return session_; }
  const account_books& found() const noexcept { return books_; }

 private:
  asio::awaitable<std::optional<usd>> ask_balance() {
    doing_ = worded("asking for the balance");
    account::quota_inquiry inquiry(inquiry_, time_);
    const auto quota = co_await inquiry.ask_thriftily();
    if (!quota) {
      books_.why_unknown = "the relay does not show the balance of this key";
    } else if (!quota->used) {
      books_.why_unknown = "the relay does not show what this key has used";
    } else {
      co_return quota->used;
    }
    co_return std::nullopt;
  }

  asio::awaitable<void> ask_log(double since) {
    doing_ = worded("asking for the usage log");
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
  account_books books_;
  std::size_t all_;
  wording doing_;  // what it does in addition to the samples
  bool stopped_ = false;
};

probe::account_facts account_facts_of(const account_books& found, const probe::session& answers,
                                      const std::string& model, const std::string& tariff_name) {
  probe::account_facts facts;
  facts.expected = answers.before_cache();
  facts.cache_expected = answers.in_cache_check();
  facts.tariff = tariff_name;
  facts.why_unknown = found.why_unknown;
  const auto difference = [](std::optional<usd> from, std::optional<usd> to) -> std::optional<usd> {
    if (!from || !to || *to <= *from) return std::nullopt;
    *to -= *from;
    return to;
  };
  facts.drop = difference(found.before, found.after);
  if (facts.drop) {
    facts.cache_drop = difference(found.after, found.after_cache_check);
  } else if (found.before && found.after) {
    facts.why_unknown = "the balance did not move; the relay may book later";
  }
  std::set<std::string> served;
  for (const auto& row : found.log.value_or(std::vector<account::usage_log_row>{})) {
    if (row.model != model) continue;
    ++facts.rows;
    if (row.served_model) served.insert(*row.served_model);
  }
  facts.served.assign(served.begin(), served.end());
  return facts;
}

// The exit status of a probe that got no answers.
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
  const std::string& tier = chosen.query.run.engine.output.tier_default;
  auto sold = probe::claim_of(chosen.model, member.name, prices, tier.empty() ? "auto" : tier);
  if (!sold) {
    refuse(
        fmt::format("there is no price for {}, so nothing would limit what the probe spends; "
                    "give one with --prices",
                    chosen.model));
  }
  return *std::move(sold);
}

// The prices with which the bill is compared, and their name in the report.
struct tariff {
  relay_prices prices;
  std::string name;
};

constexpr const char* by_own_list = "by the relay's own price list";

// The prices of the settings; if these contain none, the relay's own price list.
tariff tariff_of(const run_settings& run, prepared_relays& relays, const relay_member& member,
                 const std::string& model) {
  if (asks_for_prices(run)) return {relays.prices(), by_own_list};
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
  return {relays.prices(), fmt::format("at {} times the price", member.price_multiplier.value_or(
                                                                    run.engine.price_multiplier))};
}

relay_member only_member(const std::vector<relay_member>& members) {
  if (members.size() == 1) return members.front();
  refuse("several relays are configured; name the one to probe with --relay");
}

exit_status probe_relay(probe_settings& chosen) {
  run_settings& run = chosen.query.run;
  screen shown;
  shown.choose_colour(run.colour);
  shown.choose_language(run.spoken);
  start_log(shown, run.verbose, run.quiet, run.log_file, run.json_log);
  prepared_relays relays(run, shown, needs_of(chosen.query, relay_use::send));
  const relay_member member = only_member(relays.members());
  if (chosen.model.empty()) {
    refuse("--model is missing; name the model that the relay sells, like --model gpt-4");
  }
  relays.show_hosts();  // the relay may be asked for its prices and gets the key
  const tariff charged = tariff_of(run, relays, member, chosen.model);
  const probe::claim sold = claim_of(chosen, member, charged.prices);

  config options = run.engine;
  options.pool.clear();
  options.relay = member.relay;
  options.pace.concurrency = samples_at_once;
  options.pace.max_attempts = attempts_each;
  options.pace.keep_going = true;  // a refusal is a result too
  options.check();

  const std::uint64_t seed = options.pace.seed != 0 ? options.pace.seed : std::random_device{}();
  const probe::plan planned = probe::make_plan(sold, chosen.budget, seed);
  if (planned.samples.empty()) {
    refuse(
        fmt::format("--budget {}: no request fits into it; give more", chosen.budget.to_string()));
  }
  spdlog::info("{} requests for {}, {} USD at most of a budget of {}", planned.samples.size(),
               sold.model, planned.at_most.to_string(), chosen.budget.to_string());

  asio::io_context loop(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
  probing probe(loop, options, member, sold, planned, chosen.budget, seed);
  run_outcome outcome;
  std::exception_ptr fault;
  {
    std::optional<progress_display> display;
    std::optional<wait_notice> waits;
    if (run.quiet) {
      waits.emplace(probe.time(), shown, [&probe] { return probe.facts(); });
    } else {
      display.emplace(probe.time(), shown, progress_source{.line = [&probe](const line_form& form) {
                        return probe.progress(form);
                      }});
    }
    graceful_stop ending(
        loop, probe.time(), run.grace,
        {.stop = [&probe] { probe.stop(); }, .abort = [&probe] { probe.abort(); }});
    asio::co_spawn(loop, probe.run(), [&](std::exception_ptr thrown, run_outcome ended) {
      fault = std::move(thrown);
      outcome = std::move(ended);
      ending.leave();
      if (display) display->leave();
      if (waits) waits->leave();
      probe.close();
    });
    loop.run();
    if (fault) std::rethrow_exception(fault);
    if (ending.interrupted()) return interrupted;
  }

  const auto& answers = probe.answers();
  const bool some_answered = std::any_of(answers.seen().begin(), answers.seen().end(),
                                         [](const auto& one) { return one.answered; });
  if (const auto sentence = stop_sentence(outcome); !sentence.empty()) {
    shown.line("sluice: " + sentence.in(shown.spoken()));
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
  found.account = account_facts_of(probe.found(), answers, sold.model, charged.name);
  found.why_no_cache = planned.why_no_cache;
  const probe::report report = probe::evaluate(found);
  const probe_facts facts{.model = sold.model,
                          .relay = name_of(member),
                          .requests = answers.attempts(),
                          .cost = answers.cost()};
  if (chosen.query.json) {
    print(probe_document(report, facts));
  } else {
    print(probe_lines(report, facts));
  }
  const bool accused =
      report.told == probe::verdict::suspicious || report.told == probe::verdict::inconsistent;
  return accused ? some_failed : success;
}

std::vector<setting> probe_flags(probe_settings& target) {
  auto table =
      query_flags(target.query, {"rpm", "seed", "prices", "price-multiplier", "price-group",
                                 "tier-default", "first-byte-timeout", "give-up-after"});
  describe(table, "seed", "Seed of the questions; 0: a new one",
           "The same seed asks the same questions. 0 means another seed each time, so that a relay "
           "cannot learn the questions.");
  table.push_back({.name = "model",
                   .value = "NAME",
                   .group = "Probe",
                   .short_help = "Model that the relay sells",
                   .long_help = "The model to test, under the name that the relay uses. It needs a "
                                "price, so that the budget holds.",
                   .apply = [&target](const std::string& name) { target.model = name; },
                   .in_config = false});
  table.push_back(
      {.name = "budget",
       .value = "USD",
       .group = "Probe",
       .short_help = "Never spend more than this on the probe",
       .long_help =
           "A hard limit on the cost of all questions. More money gives more questions and "
           "a surer verdict.",
       .default_value = "0.05",
       .apply = [&target](const std::string& text) { target.budget = parse_spending(text); },
       .in_config = false});
  return table;
}

}  // namespace

command probe_command() {
  auto chosen = std::make_shared<probe_settings>();
  const auto flags =
      std::make_shared<settings>(probe_flags(*chosen), run_tables(chosen->query.run));
  return {
      .name = "probe",
      .summary = "Test whether a relay serves the model it sells and bills right",
      .description =
          "Asks a few dozen short questions within the budget. Compares the answers, the token "
          "counts and the relay's own account with the model that is sold. The verdict has two "
          "parts, which model answers and whether the bill is right, and says what it does not "
          "show. A bill is compared "
          "with --prices and --price-multiplier; without them with the relay's own price list for "
          "--price-group, where it has one. The checks:\n" +
          probe_checks_help(),
      .common_flags = {"base-url", "api-key-file", "simulate", "relay", "model", "budget",
                       "price-multiplier", "rpm", "json", "quiet"},
      .exit_statuses = {{0, "consistent or inconclusive"},
                        {1, "suspicious or inconsistent"},
                        {2, "cannot start"},
                        {3, "the relay did not answer"},
                        {130, "interrupted"}},
      .examples = {"sluice probe --simulate --model gpt-4o-mini",
                   "sluice probe --base-url https://relay.example/v1 --model gpt-4",
                   "sluice probe --model gpt-4 --budget 0.5 --json | jq .verdict"},
      .flags = flags,
      .run =
          [chosen, flags] {
            read_settings(*flags, chosen->query.run);
            chosen->query.simulated_balance = simulator::usd::parse("100");
            chosen->query.simulated_cache = simulator::prompt_cache::memory;
            return probe_relay(*chosen);
          },
  };
}

}  // namespace sluice::cli
