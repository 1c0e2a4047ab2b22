#include "trial.hpp"

#include <fmt/format.h>

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

relay_kind honest(std::string name) {
  relay_kind made{.name = std::move(name), .honest = true, .options = {}};
  made.options.ttft = 150ms;
  made.options.itl = 5ms;
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
  kinds.push_back(cheating("another model", simulator::cheat::substituted));
  kinds.push_back(cheating("inflated usage", simulator::cheat::inflated));
  kinds.push_back(cheating("hidden prompt", simulator::cheat::injected));
  kinds.push_back(cheating("fake stream", simulator::cheat::fake_stream));
  kinds.push_back(cheating("billed more", simulator::cheat::overbilled));
  kinds.push_back(cheating("10 % another model", simulator::cheat::mixed));
  return kinds;
}

trial_result try_probe(const relay_kind& kind, const std::string& model, usd budget,
                       std::uint64_t seed) {
  const relay_prices prices(price_table::built_in());
  const auto sold = claim_of(model, "", prices);
  if (!sold) throw std::invalid_argument(fmt::format("no price for {}", model));
  const plan planned = make_plan(*sold, budget, seed);
  session answers(*sold, planned, budget, "trial");
  simulator::options options = kind.options;
  options.seed = seed;
  simulator::inference_service service(options);
  simulator::usd billed;
  std::uint64_t number = 0;
  while (const auto next = answers.next()) {
    if (answers.reserve(*next) != funds::reserved) break;
    const attempt_record record{next->job, next->custom_id, 1, next->most};
    answers.attempt_started(record);
    const auto reply =
        simulator::exchange_with(service, options, simulator::endpoint::chat, next->body, ++number);
    billed += reply.cost;
    result read_result = read(*next, reply);
    if (!read_result.outcome) answers.attempt_ended(record, attempt_end::answered);
    answers.put(std::move(read_result));
  }
  evidence found;
  found.sold = *sold;
  found.seen = answers.seen();
  found.account.expected = answers.cost();
  found.account.expected_at_most = answers.rounded_cost();
  found.account.tariff = "at 1 times the price";
  found.account.drop = exact(billed);
  return {evaluate(found), answers.cost(), answers.attempts()};
}

}  // namespace sluice::probe::test
