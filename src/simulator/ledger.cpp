#include "simulator/ledger.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace sluice::simulator {
namespace {

using json_object = nlohmann::ordered_json;

json_object as_json(const tally& sum, const char* calls) {
  return {{calls, sum.calls},
          {"tokens",
           {{"prompt", sum.tokens.prompt},
            {"cached", sum.tokens.cached},
            {"completion", sum.tokens.completion},
            {"reasoning", sum.tokens.reasoning},
            {"total", sum.tokens.total()}}},
          {"cost_usd", sum.cost.to_string()}};
}

json_object as_json(const std::map<std::string_view, std::uint64_t>& counts) {
  auto object = json_object::object();
  for (const auto& [name, count] : counts) object[std::string(name)] = count;
  return object;
}

}  // namespace

void tally::add(const token_usage& usage, usd price) {
  ++calls;
  tokens += usage;
  cost += price;
}

ledger::ledger(const options& options) {
  for (const auto& key : options.keys)
    accounts_.emplace_back(request_window(options.mode, key.rpm), key.balance);
  if (accounts_.empty())
    accounts_.emplace_back(request_window(options.mode, options.rpm), options.balance);
}

bool ledger::arrive(std::size_t account, time_point now) {
  arrive_unknown(now);
  auto& caller = accounts_[account];
  ++caller.attempts;
  caller.meter.record(now);
  if (caller.window.admit(now)) return true;
  ++caller.refusals;
  ++refusals_;
  return false;
}

void ledger::arrive_unknown(time_point now) {
  ++attempts_;
  meter_.record(now);
}

void ledger::give_hint(const attempt& attempt, time_point now, std::chrono::nanoseconds wait) {
  accounts_[attempt.account].hints.push_back({attempt.request, now, now + wait});
}

void ledger::check_hints(const attempt& attempt, time_point arrived) {
  auto& hints = accounts_[attempt.account].hints;
  std::erase_if(hints, [&](const hint& each) { return each.until <= arrived; });
  const bool is_early = std::any_of(hints.begin(), hints.end(), [&](const hint& each) {
    return arrived >= each.given + hint_margin ||
           (arrived >= each.given && attempt.request == each.request);
  });
  if (is_early) ++early_;
}

bool ledger::can_pay(std::size_t account, usd worst) const {
  const auto& payer = accounts_[account];
  if (!payer.balance) return true;
  const auto left = remaining(account);
  return usd{} < left && !(left < worst);
}

usd ledger::remaining(std::size_t account) const {
  const auto& payer = accounts_[account];
  usd left = payer.balance.value_or(usd{});
  left -= payer.charged;
  return left;
}

void ledger::charge(attempt& attempt, const token_usage& usage, usd cost) {
  attempt.usage = usage;
  attempt.cost = cost;
  attempt.billed = true;
  accounts_[attempt.account].charged += cost;
  billed_.add(usage, cost);
}

void ledger::count_fault(fault_kind kind) {
  ++faults_[name_of(kind)];
}

void ledger::finish(const attempt& attempt, std::string_view outcome, bool delivered) {
  ++outcomes_[outcome];
  if (delivered)
    delivered_.add(attempt.usage, attempt.cost);
  else if (attempt.billed)
    billed_undelivered_.add(attempt.usage, attempt.cost);
  if (attempt.billed) {
    auto& log = accounts_[attempt.account].log;
    log.push_front({attempt.unix_time, attempt.model, attempt.streamed, attempt.took, attempt.usage,
                    attempt.cost});
    if (log.size() > longest_log) log.pop_back();
  }

  auto& request = requests_[attempt.request];
  if (request.outcomes.empty()) request.key = attempt.idempotency_key;
  request.outcomes.push_back(outcome);
  request.billed += attempt.billed ? 1 : 0;
  request.delivered += delivered ? 1 : 0;
}

std::string ledger::json(bool with_requests) const {
  json_object document{{"attempts", attempts_},
                       {"max_in_60s", meter_.max_in_60s()},
                       {"over_limit_refusals", refusals_},
                       {"early_after_hint", early_},
                       {"delivered", as_json(delivered_, "requests")},
                       {"billed", as_json(billed_, "requests")},
                       {"billed_undelivered", as_json(billed_undelivered_, "attempts")},
                       {"faults", as_json(faults_)},
                       {"outcomes", as_json(outcomes_)}};
  auto& accounts = document["accounts"] = json_object::array();
  for (std::size_t index = 0; index < accounts_.size(); ++index) {
    const auto& entry = accounts_[index];
    accounts.push_back({{"index", index},
                        {"attempts", entry.attempts},
                        {"max_in_60s", entry.meter.max_in_60s()},
                        {"over_limit_refusals", entry.refusals},
                        {"charged_usd", entry.charged.to_string()},
                        {"remaining_usd", entry.balance ? json_object(remaining(index).to_string())
                                                        : json_object(nullptr)}});
  }
  if (with_requests) {
    auto& requests = document["requests"] = json_object::array();
    for (const auto& [id, request] : requests_)
      requests.push_back(
          {{"key", request.key.empty() ? json_object(nullptr) : json_object(request.key)},
           {"attempts", request.outcomes.size()},
           {"billed", request.billed},
           {"delivered", request.delivered > 0},
           {"deliveries", request.delivered},
           {"outcomes", request.outcomes}});
  }
  // An Idempotency-Key may contain any bytes, but the document must be valid UTF-8.
  return document.dump(2, ' ', false, json_object::error_handler_t::replace);
}

std::string ledger::summary() const {
  std::string text = fmt::format(
      "attempts {}, at most {} in 60 s, {} refused over the limit\n"
      "delivered {} replies, {} tokens, {} USD\n"
      "billed {} replies, {} USD; of these {} never arrived whole, {} USD\n",
      attempts_, meter_.max_in_60s(), refusals_, delivered_.calls, delivered_.tokens.total(),
      delivered_.cost.to_string(), billed_.calls, billed_.cost.to_string(),
      billed_undelivered_.calls, billed_undelivered_.cost.to_string());
  if (early_ > 0) text += fmt::format("{} attempts earlier than a hint allowed\n", early_);
  const char* separator = "outcomes ";
  for (const auto& [name, count] : outcomes_) {
    text += fmt::format("{}{}: {}", separator, name, count);
    separator = ", ";
  }
  if (!outcomes_.empty()) text += '\n';
  return text;
}

}  // namespace sluice::simulator
