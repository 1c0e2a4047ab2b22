#include "engine/adaptation_trial.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <random>

#include "support/engine_rig.hpp"

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

constexpr duration step = 10s;

double seconds(duration time) {
  return std::chrono::duration<double>(time).count();
}
duration of_seconds(double time) {
  return std::chrono::duration_cast<duration>(std::chrono::duration<double>(time));
}

/// Counts served and refused requests in each step of the trial.
class tally {
 public:
  void served(double at) { ++place(at).served; }
  void refused(double at) { ++place(at).refused; }

  double served_between(double from, double to) const { return sum(from, to).served; }
  double share_refused(double from, double to) const {
    const auto [served, refused] = sum(from, to);
    return refused == 0 ? 0 : refused / (served + refused);
  }
  /// The first time after which the rate is reached in every span until `end`.
  double reached(double from, double span, double end, double per_minute) const {
    const double width = seconds(step);
    double since = end;
    for (double at = end - span; at >= from - 1e-6; at -= width) {
      if (served_between(at, at + span + width) < per_minute * span / 60 - 1e-6) break;
      since = at;
    }
    return since;
  }
  std::string text() const {
    std::string text;
    for (double at = 0; at < static_cast<double>(steps_.size()) * seconds(step); at += 60) {
      const auto [served, refused] = sum(at, at + 60);
      text += fmt::format("{}/{} ", served, refused);
    }
    return text;
  }

 private:
  struct counts {
    double served = 0;
    double refused = 0;
  };
  counts& place(double at) {
    const auto index = static_cast<std::size_t>(at / seconds(step));
    if (steps_.size() <= index) steps_.resize(index + 1);
    return steps_[index];
  }
  counts sum(double from, double to) const {
    counts all;
    const auto first = static_cast<std::size_t>(from / seconds(step) + 0.5);
    const auto last = static_cast<std::size_t>(to / seconds(step) + 0.5);
    for (std::size_t i = first; i < std::min(last, steps_.size()); ++i) {
      all.served += steps_[i].served;
      all.refused += steps_[i].refused;
    }
    return all;
  }

  std::vector<counts> steps_;
};

void run_until(engine_rig& test, duration end) {
  test.run([&] { return test.time.since_start() >= seconds(end); },
           [](engine& running) { running.abort(); });
}

class dice {
 public:
  explicit dice(std::uint64_t seed) : random_(seed) {}
  double unit() { return std::uniform_real_distribution<>()(random_); }
  duration about(duration mean) { return of_seconds(seconds(mean) * (0.8 + 0.4 * unit())); }

 private:
  std::mt19937_64 random_;
};

}  // namespace

duration places_allowed(const places_trial& trial) {
  return std::max<duration>(2min, 10 * trial.each);
}

trial_outcome play(const rate_trial& trial, std::uint64_t seed) {
  constexpr duration end = 20min;
  engine_rig test;
  test.options.pace.requests_per_minute = trial.limit;
  const double true_rate = trial.serves;
  test.add(static_cast<std::size_t>(1.5 * true_rate * seconds(end) / 60));
  dice random(seed);
  tally book;
  admission admits = trial.admits ? trial.admits(seed) : admission{};
  time_point last{};
  test.relay.plan = [&](const exchange_call& call) {
    const double at = test.time.since_start();
    const bool unlucky = random.unit() < trial.random_refusals;
    // Requests do not overtake each other on the way to the relay.
    last = std::max(last, call.at + of_seconds(0.01 * random.unit()));
    if (!unlucky && (!admits || admits(last))) {
      book.served(at);
      return completion_plan("x", random.about(trial.head));
    }
    if (!unlucky) book.refused(at);
    auto refusal = refusal_plan(trial.refuses_with);
    refusal.before_head = random.about(200ms);
    if (trial.hints == retry_hint::a_second || (trial.hints == retry_hint::honest && unlucky)) {
      refusal.head.fields.add("retry-after", "1");
    } else if (trial.hints == retry_hint::honest) {
      refusal.head.fields.add("retry-after", std::to_string(seconds_to_wait(admits, last)));
    }
    return refusal;
  };
  run_until(test, end);
  const double allowed = seconds(rate_allowed);
  trial_outcome outcome;
  outcome.minutes = book.reached(0, 300, seconds(end), enough_served * true_rate) / 60;
  outcome.refused = book.share_refused(allowed, seconds(end));
  outcome.served =
      book.served_between(allowed, seconds(end)) / (true_rate * (seconds(end) - allowed) / 60);
  outcome.minute_by_minute = book.text();
  return outcome;
}

trial_outcome play(const places_trial& trial, std::uint64_t seed) {
  const double gone = seconds(trial.trouble_at + trial.trouble);
  const double end = gone + seconds(places_allowed(trial)) + 15 * 60;
  const double true_rate =
      60 / seconds(trial.each) *
      static_cast<double>(std::min<std::size_t>(trial.places, trial.concurrency));
  engine_rig test;
  test.options.pace.requests_per_minute = 0;
  test.options.pace.concurrency = trial.concurrency;
  test.options.relay.total_timeout = trial.timeout;
  test.add(static_cast<std::size_t>(1.5 * true_rate * end / 60) + trial.concurrency);
  dice random(seed);
  tally book;
  const time_point start = test.time.now();
  std::multiset<time_point> free;
  for (std::size_t i = 0; i < trial.places; ++i) free.insert(start);
  const time_point begin = start + trial.trouble_at;
  const time_point over = begin + trial.trouble;
  test.relay.plan = [&](const exchange_call& call) {
    time_point from = std::max(call.at, *free.begin());
    duration takes = random.about(trial.each);
    if (from < over && from + takes > begin) {
      if (trial.slower == 0) from = over;
      takes *= std::max(trial.slower, 1);
    }
    const duration head = from + takes - call.at;
    exchange_plan timeout;
    timeout.before_head = trial.timeout;
    timeout.with_head = false;
    timeout.end = exchange_end::how::timed_out;
    if (head > trial.timeout) {
      // The relay notices that its client has disconnected, and does not start the request.
      if (from < call.at + trial.timeout) {
        free.erase(free.begin());
        free.insert(call.at + trial.timeout);
      }
      return timeout;
    }
    free.erase(free.begin());
    free.insert(from + takes);
    book.served(test.time.since_start() + seconds(head));
    return completion_plan("x", head);
  };
  run_until(test, of_seconds(end));
  const double settled = gone + seconds(places_allowed(trial));
  trial_outcome outcome;
  outcome.minutes = (book.reached(gone, std::max(120.0, 5 * seconds(trial.each)), end,
                                  enough_served * true_rate) -
                     gone) /
                    60;
  outcome.served = book.served_between(settled, end) / (true_rate * (end - settled) / 60);
  outcome.minute_by_minute = book.text();
  return outcome;
}

bool passes(const rate_trial&, const trial_outcome& outcome) {
  return outcome.minutes <= seconds(rate_allowed) / 60 && outcome.refused < few_refused;
}

bool passes(const places_trial& trial, const trial_outcome& outcome) {
  return outcome.minutes <= seconds(places_allowed(trial)) / 60;
}

std::vector<rate_trial> rate_trials() {
  const auto sliding = [](std::uint64_t) { return sliding_window(60); };
  const auto fixed = [](std::uint64_t seed) {
    return fixed_window(60, of_seconds(60 * dice(seed ^ 0x5eed).unit()));
  };
  const auto bucket = [](std::uint64_t) { return token_bucket(60, 10); };
  const auto leaky = [](std::uint64_t) { return leaky_bucket(1s); };

  std::vector<rate_trial> all;
  for (const unsigned limit : {200U, 0U}) {
    const std::string ours = limit == 0 ? ", no limit of ours" : "";
    for (const duration head : {duration{300ms}, duration{2s}, duration{5s}, duration{10s}}) {
      const std::string heads = fmt::format(", heads {:.1f} s{}", seconds(head), ours);
      for (const retry_hint hints : {retry_hint::none, retry_hint::honest}) {
        const std::string hinted = hints == retry_hint::none ? "" : ", hints";
        const auto add = [&](std::string name, auto admits, int status = 429, double serves = 60) {
          all.push_back({name + hinted + heads, admits, serves, status, hints, head, 0, limit});
        };
        add("sliding 60", sliding);
        add("minutes of 60", fixed);
        add("bucket 60", bucket);
        if (hints == retry_hint::honest) continue;
        add("leaky 60", leaky);
        add("nginx 60", leaky, 503);
        add(
            "sliding 20", [](std::uint64_t) { return sliding_window(20); }, 429, 20);
      }
    }
  }
  for (const double share : {0.01, 0.02, 0.03, 0.05, 0.08}) {
    for (const duration head : {duration{300ms}, duration{5s}}) {
      for (const retry_hint hints : {retry_hint::none, retry_hint::a_second}) {
        const std::string tail =
            fmt::format(" {:.0f} %{}, heads {:.1f} s", 100 * share,
                        hints == retry_hint::none ? "" : ", hints 1 s", seconds(head));
        all.push_back({"random" + tail,
                       {},
                       (head > 1s ? 196.7 : 200) * (1 - share),
                       429,
                       hints,
                       head,
                       share,
                       200});
        all.push_back({"sliding 60, random" + tail, sliding, 60, 429, hints, head, share, 200});
      }
    }
  }
  return all;
}

std::vector<places_trial> places_trials() {
  std::vector<places_trial> all;
  for (const duration timeout : {duration{60s}, duration{120s}, duration{600s}}) {
    const std::string tail = fmt::format(", timeout {:.0f} s", seconds(timeout));
    const auto add = [&](places_trial one) {
      one.name += tail;
      one.timeout = timeout;
      all.push_back(std::move(one));
    };
    add({.name = "1000 wanted, 256 places of 30 s"});
    add({.name = "1000 wanted, 256 places of 10 s", .each = 10s});
    add({.name = "64 wanted, 40 places of 20 s", .places = 40, .each = 20s, .concurrency = 64});
    for (const duration each : {duration{2s}, duration{10s}, duration{20s}}) {
      add({.name = fmt::format("stall of 60 s, 256 places of {:.0f} s", seconds(each)),
           .each = each,
           .trouble_at = 20min,
           .trouble = 60s});
    }
    add({.name = "stall of 60 s, 64 wanted and served, 5 s each",
         .places = 64,
         .each = 5s,
         .concurrency = 64,
         .trouble_at = 10min,
         .trouble = 60s});
    add({.name = "ten times as slow for 10 min, 256 places of 10 s",
         .each = 10s,
         .trouble_at = 20min,
         .trouble = 10min,
         .slower = 10});
    add({.name = "64 wanted and served, 40 s each", .places = 64, .each = 40s, .concurrency = 64});
  }
  return all;
}

}  // namespace sluice::test
