#include "upstream/rate_limiter.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <queue>
#include <random>
#include <tuple>
#include <vector>

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr time_point noon = time_point{} + 12h;

// The maximum number of events in any 60 s.
std::size_t most_in_a_minute(std::vector<time_point> events) {
  std::sort(events.begin(), events.end());
  std::size_t most = 0;
  std::size_t first = 0;
  for (std::size_t last = 0; last < events.size(); ++last) {
    while (events[last] - events[first] >= 60s) ++first;
    most = std::max(most, last - first + 1);
  }
  return most;
}

struct traffic {
  const char* what;
  unsigned per_minute;
  duration longest_way;   // longest time from sent until counted by the relay; random
  duration fastest_head;  // from counted to the arrival of the head
  duration slowest_head;
  double least_share;  // share of the limit that must be used
  pacing pace = pacing::burst;
  double refused = 0;      // share of attempts that get no connection, so nothing is sent
  duration slow_send{};    // longest time from the start to the last byte sent
  bool whole_day = false;  // simulate a day instead of two hours
};

// Simulates a sender with more work than the limit allows, over `length` of virtual time. Returns
// the times at which the relay counts the attempts.
std::vector<time_point> simulate(const traffic& row, std::uint64_t seed, duration length) {
  rate_limiter limiter({row.per_minute, 1s, row.pace});
  std::mt19937_64 random(seed);
  const auto between = [&](duration least, duration most) {
    return duration{
        std::uniform_int_distribution<duration::rep>(least.count(), most.count())(random)};
  };
  enum class kind { sent, answered, cancelled };
  using event = std::tuple<time_point, int, kind, rate_limiter::slot>;
  const auto later = [](const event& a, const event& b) {
    return std::tie(std::get<0>(a), std::get<1>(a)) > std::tie(std::get<0>(b), std::get<1>(b));
  };
  std::priority_queue<event, std::vector<event>, decltype(later)> events(later);
  int order = 0;
  std::vector<time_point> arrivals;
  time_point now = noon;
  while (now < noon + length) {
    while (const auto slot = limiter.try_start(now)) {
      if (std::uniform_real_distribution<double>(0, 1)(random) < row.refused) {
        events.emplace(now + between(0s, 2s), order++, kind::cancelled, *slot);
        continue;
      }
      const time_point sent = now + between(0s, row.slow_send);
      const time_point counted = sent + between(0s, row.longest_way);
      arrivals.push_back(counted);
      events.emplace(sent, order++, kind::sent, *slot);
      events.emplace(counted + between(row.fastest_head, row.slowest_head), order++, kind::answered,
                     *slot);
    }
    const time_point start = limiter.next_start(now);
    EXPECT_GT(start, now) << "a limiter that refuses must give a later time";
    if (!events.empty() && std::get<0>(events.top()) <= start) {
      const auto [when, ignored, what, slot] = events.top();
      events.pop();
      now = when;
      switch (what) {
        case kind::sent:
          limiter.sent(slot, now);
          break;
        case kind::answered:
          limiter.answered(slot, now);
          break;
        case kind::cancelled:
          limiter.cancel(slot, now);
          break;
      }
    } else {
      now = start;
    }
  }
  return arrivals;
}

class limited_traffic : public testing::TestWithParam<traffic> {};

TEST_P(limited_traffic, never_exceeds_the_limit_and_uses_it) {
  const traffic& row = GetParam();
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    const duration length = seed == 1 && row.whole_day ? duration{24h} : duration{2h};
    const auto arrivals = simulate(row, seed, length);
    EXPECT_LE(most_in_a_minute(arrivals), row.per_minute) << row.what << ", seed " << seed;
    const double allowed = row.per_minute * std::chrono::duration<double>(length).count() / 60;
    EXPECT_GE(static_cast<double>(arrivals.size()), allowed * row.least_share)
        << row.what << ", seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(
    over_hours, limited_traffic,
    testing::Values(traffic{.what = "attempts take up to a second to be counted",
                            .per_minute = 200,
                            .longest_way = 1s,
                            .fastest_head = 0s,
                            .slowest_head = 1s,
                            .least_share = 0.98,
                            .whole_day = true},
                    traffic{"heads come within half a second", 200, 250ms, 0s, 250ms, 0.99},
                    traffic{"heads take 20 s", 200, 1s, 18s, 20s, 0.98},
                    traffic{"heads take longer than the window", 200, 1s, 30s, 150s, 0.98},
                    traffic{"no delays", 200, 0s, 0s, 0s, 0.99},
                    traffic{"some connections fail and return their slots", 200, 1s, 0s, 500ms,
                            0.97, pacing::burst, 0.3},
                    traffic{"sending takes up to five seconds", 200, 1s, 0s, 1s, 0.9, pacing::burst,
                            0, 5s},
                    traffic{"one a minute", 1, 1s, 0s, 1s, 0.97},
                    traffic{"three a minute", 3, 1s, 0s, 1s, 0.97},
                    traffic{"one a minute, heads of 20 s", 1, 1s, 18s, 20s, 0.98},
                    traffic{"even pacing", 200, 250ms, 0s, 250ms, 0.98, pacing::even},
                    traffic{"even pacing with slow heads", 60, 1s, 18s, 20s, 0.97, pacing::even}),
    [](const auto& row) { return "row_" + std::to_string(row.index); });

rate_limiter::options at_most(unsigned n, pacing pace = pacing::burst) {
  return {n, 1s, pace};
}

TEST(rate_limiter, a_slot_is_free_one_window_after_the_head) {
  rate_limiter limiter(at_most(1));
  const auto slot = limiter.try_start(noon);
  ASSERT_TRUE(slot);
  EXPECT_FALSE(limiter.try_start(noon + 10h)) << "not sent yet: it may arrive at any time";
  EXPECT_EQ(limiter.next_start(noon), time_point::max());
  limiter.sent(*slot, noon + 10h);
  limiter.answered(*slot, noon + 10h + 200ms);
  EXPECT_FALSE(limiter.try_start(noon + 10h + 200ms + 60s));
  EXPECT_TRUE(limiter.try_start(limiter.next_start(noon + 10h + 1s)));
}

TEST(rate_limiter, knows_whether_a_request_was_sent) {
  rate_limiter limiter(at_most(2));
  const auto start = limiter.try_start(noon);
  ASSERT_TRUE(start);
  EXPECT_FALSE(limiter.was_sent(*start));
  limiter.sent(*start, noon + 1ms);
  EXPECT_TRUE(limiter.was_sent(*start));
  limiter.done(*start);
  const auto next = limiter.try_start(noon + 2ms);
  ASSERT_TRUE(next);
  EXPECT_FALSE(limiter.was_sent(*next)) << "it may have the place of the first one";
}

TEST(rate_limiter, corrects_tokens_only_if_they_are_limited) {
  rate_limiter limiter(at_most(2));
  EXPECT_FALSE(limiter.counts_tokens());
  limiter.set_limits(2, 1000, noon);
  EXPECT_TRUE(limiter.counts_tokens());
}

TEST(rate_limiter, a_slot_waits_no_longer_than_the_margin_for_a_slow_head) {
  rate_limiter limiter(at_most(1));
  const auto slot = limiter.try_start(noon);
  limiter.sent(*slot, noon);
  const time_point free = limiter.next_start(noon);
  EXPECT_GE(free, noon + 61s);
  EXPECT_LE(free, noon + 61s + 100ms);
  limiter.answered(*slot, noon + 20s);
  EXPECT_EQ(limiter.next_start(noon), free) << "a late head must not delay it";
}

TEST(rate_limiter, a_late_reply_does_not_free_the_slot_of_another_start) {
  rate_limiter limiter(at_most(1));
  const auto first = limiter.try_start(noon);
  limiter.sent(*first, noon);
  const auto second = limiter.try_start(noon + 62s);
  ASSERT_TRUE(second);
  limiter.answered(*first, noon + 63s);
  limiter.cancel(*first, noon);
  EXPECT_FALSE(limiter.try_start(noon + 64s));
  EXPECT_FALSE(limiter.try_start(noon + 130s)) << "the second one is not sent yet";
}

TEST(rate_limiter, cancel_frees_the_slot_at_once_and_only_once) {
  rate_limiter limiter(at_most(2));
  const auto first = limiter.try_start(noon);
  const auto second = limiter.try_start(noon);
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(limiter.try_start(noon));
  limiter.cancel(*first, noon);
  limiter.cancel(*first, noon);
  EXPECT_TRUE(limiter.try_start(noon));
  EXPECT_FALSE(limiter.try_start(noon));
}

TEST(rate_limiter, the_longest_pause_applies) {
  rate_limiter limiter(at_most(10));
  limiter.pause(noon + 30s, noon);
  limiter.pause(noon + 10s, noon);
  EXPECT_FALSE(limiter.try_start(noon + 30s - 1ns));
  EXPECT_EQ(limiter.next_start(noon), noon + 30s);
  EXPECT_TRUE(limiter.try_start(noon + 30s));
}

TEST(rate_limiter, without_a_limit_only_pauses_apply) {
  rate_limiter limiter(at_most(0));
  for (int i = 0; i < 100'000; ++i) ASSERT_TRUE(limiter.try_start(noon));
  const auto slot = limiter.try_start(noon);
  limiter.sent(*slot, noon);
  limiter.answered(*slot, noon);
  limiter.cancel(*slot, noon);
  limiter.pause(noon + 1s, noon);
  EXPECT_FALSE(limiter.try_start(noon));
  EXPECT_EQ(limiter.next_start(noon), noon + 1s);
  EXPECT_TRUE(limiter.try_start(noon + 1s));
}

TEST(rate_limiter, even_pacing_spreads_the_starts) {
  rate_limiter limiter(at_most(60, pacing::even));
  time_point now = noon;
  std::vector<time_point> starts;
  while (now < noon + 30s) {
    if (limiter.try_start(now)) starts.push_back(now);
    now = std::max(limiter.next_start(now), now + 1ms);
  }
  ASSERT_EQ(starts.size(), 30U);
  for (std::size_t i = 1; i < starts.size(); ++i) EXPECT_GE(starts[i] - starts[i - 1], 1s);
}

TEST(rate_limiter, even_pacing_has_no_burst_after_an_idle_time) {
  rate_limiter limiter(at_most(60, pacing::even));
  ASSERT_TRUE(limiter.try_start(noon));
  ASSERT_TRUE(limiter.try_start(noon + 10min));
  EXPECT_FALSE(limiter.try_start(noon + 10min + 900ms));
  EXPECT_TRUE(limiter.try_start(noon + 10min + 1s));
}

TEST(start_meter, agrees_with_a_log_of_all_starts) {
  start_meter meter;
  std::mt19937_64 random(7);
  std::deque<time_point> log;
  std::uint64_t most = 0;
  time_point now = noon;
  for (int i = 0; i < 20'000; ++i) {
    const bool quiet = random() % 500 == 0;
    now += quiet ? duration{2min} : duration{10ms} * static_cast<int>(random() % 100);
    meter.count(now);
    log.push_back(now);
    while (now - log.front() >= 60s) log.pop_front();
    most = std::max<std::uint64_t>(most, log.size());
    ASSERT_EQ(meter.last_minute(now), log.size());
  }
  EXPECT_EQ(meter.most(), most);
  EXPECT_EQ(meter.last_minute(now + 60s), 0U);
  EXPECT_EQ(meter.most(), most) << "reading does not change it";
}

TEST(start_meter, counts_nothing_before_the_first_start) {
  start_meter meter;
  EXPECT_EQ(meter.last_minute(noon), 0U);
  EXPECT_EQ(meter.most(), 0U);
}

}  // namespace
}  // namespace sluice
