#include "cluster/window_grants.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <ctime>
#include <map>
#include <optional>
#include <utility>

#include "async/wait_queue.hpp"
#include "cluster/clock_drift.hpp"
#include "cluster/grant_rules.hpp"
#include "store/batch_record.hpp"

namespace sluice::cluster {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

constexpr duration usual_interval = 1s;
constexpr duration shortest_interval = 100ms;
constexpr duration until_next_call = 1s;  // after a failed call
constexpr duration first_wait = 2500ms;  // within this time the other workers make their next calls
constexpr duration retake_interval = 20ms;  // how often attempts that wait for a grant try again
constexpr duration age_step = 50ms;         // ages of starts are rounded down to a multiple of this
// Limits for the starts in one call. A worker asks for twice what it has used since the last call.
// So a worker that dies holds only a small part of the window, which the others cannot use for a
// minute.
constexpr std::uint64_t least_wanted = 16;
constexpr std::uint64_t most_wanted = 10'000;
// Limit of starts with a possible correction of tokens.
constexpr std::size_t most_tracked = 1'000'000;

}  // namespace

std::chrono::nanoseconds window_grants::time_since_boot() {
  timespec time{};
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec};
}

// This process's grant of one window.
class window_grants::window final : public shared_limit {
 public:
  window(setup& parts, std::string name, std::uint64_t per_minute, std::uint64_t tokens_per_minute,
         duration margin, duration reach)
      : parts_(parts),
        name_(std::move(name)),
        cap_(per_minute),
        token_cap_(tokens_per_minute),
        margin_(margin),
        reach_(reach) {
    begin_anew();
  }

  std::optional<ticket> take(time_point now, std::uint64_t tokens) override {
    if (!is_limited()) return remember(0);
    const bool enough = token_cap_ == 0 || tokens <= free_tokens_;
    if (!is_valid() || free_ == 0 || !enough || now < paused_until_) {
      starved_ = starved_ || (free_ > 0 && !enough);
      need_tokens_ = tokens;
      miss();
      return std::nullopt;
    }
    --free_;
    ++taken_;
    const std::uint64_t counted = token_cap_ == 0 ? 0 : tokens;
    free_tokens_ -= counted;
    need_tokens_ = tokens;
    return remember(counted);
  }

  time_point next(time_point now) override {
    if (!is_limited() || (is_valid() && free_ > 0 && !starved_)) {
      return std::max(now, paused_until_);
    }
    miss();
    return std::max(now + retake_interval, paused_until_);
  }

  bool holds(ticket start, time_point) const override {
    if (!is_limited()) return true;
    const auto found = starts_.find(start);
    return found != starts_.end() && found->second.generation == generation_ && is_valid();
  }

  void sent(ticket start, time_point now) override {
    if (auto* one = find(start); one != nullptr && !one->arrived) one->arrived = now + margin_;
  }
  void answered(ticket start, time_point now) override {
    auto* one = find(start);
    if (one == nullptr || one->release != 0) return;
    one->arrived = std::min(one->arrived.value_or(now), now);
  }
  void cancel(ticket start, time_point) override {
    const auto found = starts_.find(start);
    if (found == starts_.end()) return;
    if (found->second.generation == generation_ && found->second.release == 0) {
      ++free_;
      free_tokens_ += found->second.tokens;
    }
    starts_.erase(found);
  }
  void correct(ticket start, std::uint64_t tokens, time_point) override {
    auto* one = find(start);
    if (one == nullptr || token_cap_ == 0) return;
    if (one->release != 0) {
      const auto change =
          static_cast<std::int64_t>(tokens) - static_cast<std::int64_t>(one->tokens);
      corrections_.push_back({one->release, change});
      one->tokens = tokens;
    } else {
      one->actual = tokens;
    }
  }
  void done(ticket start) override {
    auto* one = find(start);
    if (one == nullptr) return;
    one->done = true;
    if (one->release != 0 || one->generation != generation_ || !is_limited()) starts_.erase(start);
  }

  void pause(time_point until, time_point now) override {
    paused_until_ = std::max(paused_until_, until);
    if (!is_limited() || until <= now) return;
    new_pause_ = std::max(new_pause_.value_or(until), until);
    changed.wake_all();
  }
  time_point paused_until() const override { return paused_until_; }
  void set_limits(std::uint64_t per_minute, std::uint64_t tokens_per_minute) override {
    cap_ = per_minute;
    token_cap_ = tokens_per_minute;
  }

  // Returns when the next call is due; nothing if no call is needed.
  std::optional<time_point> next_call() const {
    if (!is_limited()) return std::nullopt;
    if (missed_ || new_pause_) return earliest_call_;
    // Calls are made even if there is nothing to report, because they show whether the database's
    // clock was set.
    if (last_now_ == 0) return std::nullopt;
    return std::max(earliest_call_, last_call_ + usual_interval);
  }

  window_call begin_call(bool last) {
    const time_point now = parts_.time.now();
    if (!is_valid()) begin_anew();
    window_call call;
    call.window = name_;
    call.holder = holder_;
    call.cap = cap_;
    call.token_cap = token_cap_;
    call.valid = valid;
    call.reach = reach_;
    call.tokens_each = token_cap_ == 0 ? 0 : std::max<std::uint64_t>(need_tokens_, 1);
    if (missed_ && !last) {
      call.wanted = std::clamp(2 * taken_, least_wanted, most_wanted);
    } else {
      const std::uint64_t kept = last ? 0 : std::min(free_, taken_);
      call.returned = free_ - kept;
      call.returned_tokens = kept == 0 ? free_tokens_ : 0;
      free_ = kept;
      free_tokens_ -= call.returned_tokens;
    }
    if (starved_) {  // too few tokens for any start
      call.returned_tokens = free_tokens_;
      call.returned = free_;
      free_ = free_tokens_ = 0;
    }
    missed_ = starved_ = false;
    taken_ = 0;
    report_uses(call, now);
    call.corrections = std::exchange(corrections_, {});
    if (new_pause_) {
      call.pause = *new_pause_ - now;
      new_pause_.reset();
    }
    if (last_now_ != 0) {
      call.last_now = last_now_;
      call.clock_steps = clock_steps_;
      call.since_least = now - last_end_;
      call.since_most =
          std::chrono::duration_cast<duration>(parts_.awake_or_asleep() - last_begin_);
    }
    call_begin_ = now;
    call_begin_awake_ = parts_.awake_or_asleep();
    last_call_ = now;
    return call;
  }

  void end_call(const window_call& call, const window_answer& answer) {
    const time_point now = parts_.time.now();
    // The database's time in the answer may be from any moment during the call.
    const bool first = last_now_ == 0;
    last_now_ = answer.now;
    clock_steps_ = answer.clock_steps;
    last_begin_ = call_begin_awake_;
    last_end_ = now;
    if (answer.began_anew && !fresh_) {
      begin_anew_in(holder_);
    }
    fresh_ = first;
    for (const ticket start : reported_) {
      auto* one = find(start);
      if (one == nullptr) continue;
      one->release = answer.now - micros(one->age) + shared_grants::length;
      if (one->actual) {
        const auto change =
            static_cast<std::int64_t>(*one->actual) - static_cast<std::int64_t>(one->tokens);
        if (change != 0) corrections_.push_back({one->release, change});
        one->tokens = *one->actual;
      }
      if (one->done || token_cap_ == 0) starts_.erase(start);
    }
    reported_.clear();
    free_ += answer.granted;
    free_tokens_ += answer.granted_tokens;
    valid_until_ = call_begin_awake_ + valid;
    paused_until_ = std::max(paused_until_, now + answer.paused);
    duration wait = shortest_interval;
    if (answer.granted == 0 && call.wanted > 0) {
      wait = std::clamp(answer.next.value_or(usual_interval), shortest_interval, usual_interval);
    }
    if (first) {
      valid_until_ = std::chrono::nanoseconds::min();
      missed_ = true;
      wait = answer.in_use ? first_wait : duration{};
    }
    earliest_call_ = now + wait;
  }

  // The outcome of the call is unknown. So its reports, and the starts that it may have granted,
  // are left to expire.
  void fail_call() {
    begin_anew();
    missed_ = true;
    earliest_call_ = parts_.time.now() + until_next_call;
  }

  wait_queue changed;

 private:
  struct tracked_start {
    std::uint64_t generation = 0;
    std::uint64_t tokens = 0;
    std::optional<std::uint64_t> actual;  // tokens, if known before the report
    std::optional<time_point> arrived;    // latest time of arrival at the relay
    duration age{};                       // age in the report
    std::int64_t release = 0;             // when it leaves the window; 0: not reported yet
    bool done = false;
  };

  bool is_limited() const noexcept { return cap_ != 0 || token_cap_ != 0; }
  bool is_valid() const { return parts_.awake_or_asleep() <= valid_until_; }
  tracked_start* find(ticket which) {
    const auto found = starts_.find(which);
    return found == starts_.end() ? nullptr : &found->second;
  }
  ticket remember(std::uint64_t tokens) {
    while (starts_.size() >= most_tracked) starts_.erase(starts_.begin());
    tracked_start& one = starts_[++last_ticket_];
    one.generation = generation_;
    one.tokens = tokens;
    return last_ticket_;
  }
  void miss() {
    if (std::exchange(missed_, true)) return;
    changed.wake_all();
  }
  void begin_anew() { begin_anew_in(fmt::format("{}/{}", parts_.worker, ++holders_)); }
  void begin_anew_in(std::string holder) {
    holder_ = std::move(holder);
    fresh_ = true;
    ++generation_;
    free_ = free_tokens_ = 0;
    reported_.clear();
    std::erase_if(starts_, [](const auto& one) { return one.second.done; });
  }
  void report_uses(window_call& call, time_point now) {
    std::map<duration, window_call::used> by_age;
    for (auto& [which, one] : starts_) {
      if (one.generation != generation_ || one.release != 0) continue;
      if (!one.arrived || *one.arrived > now) continue;
      one.age = (now - *one.arrived) / age_step * age_step;
      window_call::used& sum = by_age[one.age];
      sum.age = one.age;
      ++sum.starts;
      sum.tokens += one.tokens;
      reported_.push_back(which);
    }
    for (const auto& [age, sum] : by_age) call.uses.push_back(sum);
  }

  setup& parts_;
  const std::string name_;
  std::uint64_t cap_;
  std::uint64_t token_cap_;
  const duration margin_;
  const duration reach_;
  std::string holder_;
  std::uint64_t holders_ = 0;
  std::uint64_t generation_ = 0;  // starts of an earlier generation are left to expire
  bool fresh_ = true;             // the database does not know this holder yet
  std::uint64_t free_ = 0;
  std::uint64_t free_tokens_ = 0;
  std::uint64_t taken_ = 0;        // starts used since the last call
  std::uint64_t need_tokens_ = 0;  // tokens of the last attempt that asked
  bool missed_ = false;            // an attempt waits for a start
  // An attempt waits only because it needs more tokens.
  bool starved_ = false;
  std::chrono::nanoseconds valid_until_{std::chrono::nanoseconds::min()};
  time_point paused_until_{};
  std::optional<time_point> new_pause_;  // not reported yet
  std::map<ticket, tracked_start> starts_;
  ticket last_ticket_ = 0;
  std::vector<ticket> reported_;  // starts that the current call reports
  std::vector<window_call::correction> corrections_;
  time_point earliest_call_{};
  time_point last_call_{};
  time_point call_begin_{};
  std::chrono::nanoseconds call_begin_awake_{};
  std::int64_t last_now_ = 0;
  std::uint64_t clock_steps_ = 0;
  std::chrono::nanoseconds last_begin_{};
  time_point last_end_{};
};

window_grants::window_grants(setup parts) : parts_(std::move(parts)) {}
window_grants::~window_grants() = default;

shared_limit& window_grants::open(const std::string& name, std::uint64_t per_minute,
                                  std::uint64_t tokens_per_minute, duration margin,
                                  duration reach) {
  windows_.push_back(
      std::make_unique<window>(parts_, name, per_minute, tokens_per_minute, margin, reach));
  return *windows_.back();
}

asio::awaitable<void> window_grants::follow(window& one) {
  for (;;) {
    const bool last = stopping_;
    const auto due = one.next_call();
    const time_point now = parts_.time.now();
    if (!last && (!due || *due > now)) {
      clock::timer timer = 0;
      if (due) timer = parts_.time.call_at(*due, [&one] { one.changed.wake_all(); });
      co_await one.changed.wait();
      parts_.time.cancel(timer);
      continue;
    }
    if (last && !due) co_return;
    const window_call call = one.begin_call(last);
    std::optional<window_answer> answer;
    std::string fault;
    try {
      answer = co_await parts_.threads.run([&] { return parts_.store.call_window(call); });
    } catch (const store::store_error& error) {
      fault = error.what();
    }
    if (answer) {
      one.end_call(call, *answer);
      complained_ = false;
    } else {
      one.fail_call();
      if (!std::exchange(complained_, true) && !last) {
        parts_.say(fmt::format("nothing starts until the shared limit answers: {}", fault));
      }
    }
    if (last) co_return;
  }
}

asio::awaitable<void> window_grants::work() {
  std::size_t left = windows_.size();
  wait_queue ended;
  for (const auto& one : windows_) {
    asio::co_spawn(parts_.loop, follow(*one), [&](const std::exception_ptr&) {
      --left;
      ended.wake_all();
    });
  }
  while (left > 0) co_await ended.wait();
}

void window_grants::stop() {
  stopping_ = true;
  for (const auto& one : windows_) one->changed.wake_all();
}

}  // namespace sluice::cluster
