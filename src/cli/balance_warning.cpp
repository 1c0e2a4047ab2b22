#include "cli/balance_warning.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include "account/balance.hpp"
#include "cli/blocking_client.hpp"
#include "cli/log_observer.hpp"
#include "jobs/job_reader.hpp"
#include "money/cost_bound.hpp"
#include "tokens/prompt_tokens.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;

constexpr std::size_t most_read = std::size_t{128} << 10;               // bytes, over all jobs
constexpr usd worth_asking = usd::from_units(100'000'000'000'000'000);  // 0.10 USD
constexpr std::chrono::seconds longest{5};

usd estimate_prompts_of(const job_set::job_summary& job, std::size_t most_bytes,
                        const job_options& lines, const relay_prices& prices, double unix_now) {
  if (job.to_send == 0 || job.job == "-") return {};
  job_reader reader(job.job, lines);
  std::size_t bytes = 0;
  std::int64_t requests = 0;
  usd cost;
  while (bytes < most_bytes) {
    const auto line = reader.next();
    if (!line) break;
    if (!*line) continue;
    const request& asked = **line;
    bytes += asked.body.size();
    ++requests;
    const auto tokens =
        static_cast<std::int64_t>(prompt_tokens(asked.target, asked.model, asked.body).tokens);
    if (const auto price = prices.find({}, asked.model, asked.target)) {
      const serving how = likely_serving(asked, {}, unix_now);
      const auto priced = price->cost({.prompt_tokens = tokens}, how);
      cost += priced.cost.value_or(usd{});
    }
  }
  if (requests == 0) return {};
  return usd::from_units(cost.count() * static_cast<std::int64_t>(job.to_send) / requests);
}

asio::awaitable<void> ask(http_client& client, const clock& time, const relay_options& relay,
                          std::optional<usd>& balance) {
  balance = co_await ask_balance(client, relay, time, &log_observer());
}

std::optional<usd> balance_of(const relay_member& member) {
  relay_options relay = member.relay;
  relay.connect_timeout = std::min<duration>(relay.connect_timeout, longest);
  relay.total_timeout = std::min<duration>(relay.total_timeout, longest);
  blocking_client asking(relay);
  std::optional<usd> balance;
  try {
    asking.run(ask(asking.client(), asking.time(), relay, balance));
  } catch (const std::exception& fault) {
    spdlog::debug("the balance is not known: {}", fault.what());
  }
  return balance;
}

}  // namespace

usd estimate_prompts(const std::vector<job_set::job_summary>& jobs, const job_options& lines,
                     const relay_prices& prices, double unix_now) {
  usd sum;
  for (const auto& job : jobs) {
    sum += estimate_prompts_of(job, most_read / jobs.size(), lines, prices, unix_now);
  }
  return sum;
}

void warn_of_low_balance(const run_settings& chosen, const job_set& jobs,
                         const relay_prices& prices) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  const usd estimate = estimate_prompts(jobs.summaries(), chosen.engine.job, prices, now.count());
  if (estimate < worth_asking) return;
  usd left;
  for (const auto& member : chosen.engine.relays()) {
    const auto balance = balance_of(member);
    if (!balance) return;
    left += *balance;
  }
  if (left >= estimate) return;
  spdlog::warn(
      "the balance of the key is ${}, and the prompts alone cost about ${}; the run goes on until "
      "the balance is spent, and the same command continues when there is more",
      left.to_string(), estimate.to_string());
}

}  // namespace sluice::cli
