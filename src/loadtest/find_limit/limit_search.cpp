#include "loadtest/find_limit/limit_search.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "upstream/relay_health.hpp"

namespace sluice::bench {

namespace asio = boost::asio;
using nlohmann::ordered_json;

// Tells the finder that a call was allowed, as soon as its response head shows it.
struct limit_search::head_watch final : attempt_observer {
  head_watch(limit_search& owner, limit_finder::call_id number) : search(owner), id(number) {}

  void on_head(const response_head& head) override {
    // For these statuses, only the body shows whether it is a refusal by the limit. With any other
    // status, the relay counted the call.
    if (head.status == 429 || head.status == 503) return;
    told = true;
    search.finder_.accepted(id, search.time_.now());
    search.changed_.wake_all();
  }

  limit_search& search;
  limit_finder::call_id id;
  bool told = false;  // the finder knows the outcome of the call
};

limit_search::limit_search(asio::any_io_executor loop, clock& time, target& of, spending& money,
                           const options& chosen)
    : loop_(std::move(loop)),
      time_(time),
      target_(of),
      money_(money),
      options_(chosen),
      finder_(chosen.finder) {}

// Waits until no start of the last minute is left, of this run or others. Otherwise these starts
// would be taken for a part of the relay's limit.
asio::awaitable<void> limit_search::wait_for_clean_window() {
  if (options_.window == nullptr) co_return;
  rate_limiter window({1, options_.window_margin, pacing::burst, 0, options_.window});
  sleeper sleep(time_);
  while (stopped_.empty()) {
    const time_point now = time_.now();
    const time_point clean = window.next_start(now);
    if (clean <= now) break;
    waiting_for_others_ = true;
    co_await sleep.sleep_until(std::min(clean, now + std::chrono::seconds{1}));
  }
  waiting_for_others_ = false;
}

asio::awaitable<void> limit_search::run() {
  co_await wait_for_clean_window();
  while (stopped_.empty() && !fault_) {
    const time_point now = time_.now();
    const auto step = finder_.next(now);
    if (step.what == limit_finder::action::done) break;
    if (step.what == limit_finder::action::start) {
      co_await start_one();
      continue;
    }
    if (step.until != time_point::max()) {
      alarm_ = time_.call_at(step.until, [this] { changed_.wake_all(); });
    }
    co_await changed_.wait();
    if (alarm_ != 0) time_.cancel(std::exchange(alarm_, 0));
  }
  while (in_flight_ > 0) co_await changed_.wait();
  over_ = true;
  if (fault_) std::rethrow_exception(fault_);
}

asio::awaitable<void> limit_search::start_one() {
  request asked = target_.supply.next();
  const funds granted = money_.reserve(target_.member.name, asked);
  if (granted == funds::wait) co_return co_await money_.freed().wait();
  if (granted == funds::spent) {
    stop(fmt::format("the budget of {} USD does not cover another request",
                     money_.limit().value_or(usd{}).to_string()));
    co_return;
  }
  const auto turn = co_await target_.gate.enter(std::nullopt, {});
  if (!turn) {
    money_.give_back(asked);
    co_return;
  }
  const limit_finder::call_id id = ++sent_;
  ++in_flight_;
  finder_.started(id, time_.now());
  asio::co_spawn(loop_, call(std::move(asked), *turn, id), [this](std::exception_ptr thrown) {
    if (thrown && !fault_) fault_ = std::move(thrown);
    --in_flight_;
    changed_.wake_all();
  });
}

asio::awaitable<void> limit_search::call(request asked, start_gate::permit turn,
                                         limit_finder::call_id id) {
  head_watch watch(*this, id);
  attempt tried = target_.begin(time_, turn, asked, &watch);
  const std::string key = fmt::format("{}-{}", options_.id, id);
  attempt_outcome told = co_await target_.send(tried, asked, key);
  tried.leave();
  const time_point now = time_.now();
  if (told) {
    const serving how = told->served(0, time_.unix_now());
    const auto cost = told->usage ? money_.cost(target_.member.name, asked, *told->usage, how)
                                  : std::optional<usd>();
    money_.settle(asked, cost);
    if (cost) {
      cost_ = cost_.value_or(usd{}) + *cost;
      target_.cost = target_.cost.value_or(usd{}) + *cost;
    }
    target_.cutoff.succeeded();
    co_return;
  }
  const failure& why = told.error();
  money_.failed(asked, end_without_result(tried.end(), why));
  if (!stopped_.empty()) co_return;  // the call may have been aborted
  if (!watch.told && relay_health::is_refusal(why)) {
    std::optional<duration> hint;
    if (why.retry_after) hint = std::chrono::duration_cast<duration>(*why.retry_after);
    finder_.refused(id, now, hint);
  } else if (!watch.told) {
    finder_.failed(id, now);
  }
  if (why.kind == failure_class::key_ended) target_.gate.pause(now + target_cutoff::blink);
  if (const auto enough =
          target_.cutoff.failed(why, tried.seen().started, now, options_.max_wait)) {
    target_.stopped = enough;
    stop(enough->sentence);
  }
}

void limit_search::stop(const std::string& why) {
  if (over_) return;
  if (stopped_.empty()) stopped_ = why;
  target_.gate.close();
  changed_.wake_all();
  money_.freed().wake_all();
}

ordered_json limit_search::to_json() const {
  const auto number = [](const std::optional<double>& value) {
    return value ? ordered_json(std::round(*value * 100) / 100) : ordered_json();
  };
  const limit_finding found = finder_.finding();
  return {{"kind", to_string(found.kind)},
          {"rpm", number(found.rpm)},
          {"burst", found.burst ? ordered_json(*found.burst) : ordered_json()},
          {"at_least", number(found.at_least)},
          {"at_most", number(found.at_most)},
          {"ceiling", options_.finder.ceiling},
          {"requests", found.requests},
          {"refused", found.refused},
          {"cost_usd", cost_ ? ordered_json(cost_->to_string()) : ordered_json()},
          {"evidence", found.evidence},
          {"stopped", stopped_.empty() ? ordered_json() : ordered_json(stopped_)}};
}

}  // namespace sluice::bench
