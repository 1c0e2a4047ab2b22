#include "trial.hpp"

#include <fmt/format.h>

#include <random>
#include <stdexcept>
#include <utility>

#include "openai/reply_reader.hpp"
#include "probe/claim.hpp"
#include "probe/evaluate.hpp"
#include "probe/plan.hpp"
#include "probe/session.hpp"
#include "simulator/exchange.hpp"

namespace sluice::probe::test {
namespace {

using namespace std::chrono_literals;

// DeepSeek's peak hours on a Wednesday, 2026-11-25.
constexpr std::int64_t unix_peak_begins = 1'795'568'400;  // 01:00 UTC
constexpr std::int64_t unix_peak = unix_peak_begins + 3600;
constexpr std::uint32_t attempts_each = 3;  // as in the command

relay_kind honest(std::string name) {
  relay_kind made{.name = std::move(name), .honest = true, .options = {}};
  made.options.ttft = 150ms;
  made.options.itl = 5ms;
  made.options.cache = simulator::prompt_cache::none;
  return made;
}

relay_kind cheating(std::string name, simulator::cheat how) {
  relay_kind made = honest(std::move(name));
  made.honest = false;
  made.options.cheat.how = how;
  return made;
}

double milliseconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

// The result that the client reads from an exchange.
result read(const request& request, const simulator::exchange& reply) {
  result made;
  made.line = request.line;
  made.custom_id = request.custom_id;
  made.model = request.model;
  made.streamed = request.streamed;
  openai::reply_reader reader(
      {.target = request.target, .choices = request.choices, .streamed = request.streamed});
  openai::reply_head head;
  head.status = reply.status;
  head.content_type = reply.content_type;
  reader.head(std::move(head), 0);
  for (const auto& part : reply.parts) {
    reader.body(part.text);
    made.latency_ms = milliseconds(part.after);
    if (!made.ttft_ms && reader.content_began()) made.ttft_ms = made.latency_ms;
  }
  made.outcome = reader.finish(openai::reply_reader::ending::complete);
  return made;
}

usd exact(simulator::usd amount) {
  return *usd::parse(amount.to_string());
}

}  // namespace

std::vector<relay_kind> relay_kinds() {
  std::vector<relay_kind> kinds{honest("honest")};
  kinds.push_back(honest("honest, without logprobs"));
  kinds.back().options.lacks.logprobs = true;
  kinds.push_back(honest("honest, without tools and schemas"));
  kinds.back().options.lacks.tools = true;
  kinds.back().options.lacks.json_schema = true;
  kinds.push_back(honest("honest, another framing"));
  kinds.back().options.chat_overhead = 12;
  kinds.push_back(honest("honest, at peak hours"));
  kinds.back().unix_time = unix_peak;
  kinds.push_back(honest("honest, peak hours begin meanwhile"));
  kinds.back().unix_time = unix_peak_begins - 20;
  kinds.push_back(honest("honest, with a cache"));
  kinds.back().options.cache = simulator::prompt_cache::memory;
  kinds.push_back(honest("honest, no discount for its cache"));
  kinds.back().options.cache = simulator::prompt_cache::memory;
  kinds.back().options.cheat.how = simulator::cheat::cache_kept;
  kinds.push_back(honest("honest, connections are cut"));
  kinds.back().cut = 0.06;
  kinds.push_back(cheating("another model", simulator::cheat::substituted));
  kinds.push_back(cheating("inflated usage", simulator::cheat::inflated));
  kinds.push_back(cheating("hidden prompt", simulator::cheat::injected));
  kinds.push_back(cheating("fake stream", simulator::cheat::fake_stream));
  kinds.push_back(cheating("billed more", simulator::cheat::overbilled));
  kinds.push_back(cheating("ignores max_tokens", simulator::cheat::endless));
  kinds.push_back(cheating("10 % another model", simulator::cheat::mixed));
  return kinds;
}

trial_result try_probe(const relay_kind& kind, const std::string& model, usd budget,
                       std::uint64_t seed) {
  const relay_prices prices(price_table::built_in());
  const auto sold = claim_of(model, "", prices, "standard");
  if (!sold) throw std::invalid_argument(fmt::format("no price for {}", model));
  const plan planned = make_plan(*sold, budget, seed);
  session answers(*sold, planned, budget, "trial");
  simulator::options options = kind.options;
  options.seed = seed;
  simulator::inference_service service(options);
  std::uint64_t number = 0;
  bool paid = true;  // whether all samples so far were paid
  // Sends samples until the session has no more. Returns the amount that the relay took from the
  // balance.
  std::mt19937_64 random(seed);
  std::bernoulli_distribution is_cut(kind.cut);
  const auto send_all = [&] {
    simulator::usd billed;
    while (const auto next = answers.next()) {
      for (std::uint32_t attempt = 1; attempt <= attempts_each; ++attempt) {
        paid = answers.reserve(*next) == funds::reserved;
        if (!paid) return exact(billed);
        const attempt_record record{next->job, next->custom_id, attempt, next->most};
        answers.attempt_started(record);
        const std::int64_t now = kind.unix_time + static_cast<std::int64_t>(++number);
        const auto reply = simulator::exchange_with(service, options, simulator::endpoint::chat,
                                                    next->body, number, now);
        billed += reply.cost;
        result read_result = read(*next, reply);
        read_result.started_at = static_cast<double>(now);
        const bool lost = reply.status == 200 && is_cut(random);
        if (lost) {
          answers.attempt_ended(record, attempt_end::lost);
          if (attempt < attempts_each) continue;
          read_result.outcome = failure{};
        } else if (!read_result.outcome) {
          answers.attempt_ended(record, attempt_end::answered);
        }
        answers.put(std::move(read_result));
        break;
      }
    }
    return exact(billed);
  };
  evidence found;
  found.sold = *sold;
  found.account.drop = send_all();
  if (paid && answers.begin_cache_check()) found.account.cache_drop = send_all();
  found.seen = answers.seen();
  found.why_no_cache = planned.why_no_cache;
  found.account.expected = answers.before_cache();
  found.account.cache_expected = answers.in_cache_check();
  found.account.tariff = "at 1 times the price";
  return {evaluate(found), answers.cost(), answers.attempts()};
}

}  // namespace sluice::probe::test
