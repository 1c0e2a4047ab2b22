// A window that processes share: rate_limiter, limit_store and limit_window together.
#include "limit_store.hpp"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <deque>
#include <filesystem>
#include <queue>
#include <random>
#include <tuple>

#include "rate_limiter.hpp"
#include "support/temp_dir.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

constexpr time_point noon = time_point{} + 1000h;
constexpr duration window = 60s + 18ms;
constexpr duration margin = 1s;
constexpr duration step = 17ms;  // that a release may be late
constexpr boot_id this_boot{1, 2, 3};

struct limit_store_test : testing::Test {
  test::temp_dir dir;
  std::string path = dir / "state/limits/one";

  // Each store has an open file of its own, so that it counts as a process of its own.
  std::unique_ptr<limit_store> open(time_point now = noon, boot_id boot = this_boot) {
    auto store = std::make_unique<limit_store>(
        path, boot, margin, [](const std::string& why) { ADD_FAILURE() << why; });
    const limit_store::hold opened(*store, now);
    return store;
  }
  static rate_limiter limiter(limit_store& store, unsigned per_minute,
                              std::uint64_t tokens_per_minute = 0) {
    return rate_limiter({per_minute, margin, pacing::burst, tokens_per_minute, &store});
  }
  static unsigned starts(rate_limiter& limiter, time_point now) {
    unsigned count = 0;
    while (const auto slot = limiter.try_start(now)) {
      limiter.sent(*slot, now);
      ++count;
    }
    return count;
  }
  // The body of a process that is killed when it is done.
  static void in_a_killed_process(const std::function<void()>& body) {
    const pid_t child = ::fork();
    if (child == 0) {
      body();
      ::kill(::getpid(), SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
  }
};

TEST_F(limit_store_test, processes_share_one_window) {
  const auto a = open();
  const auto b = open();
  auto one = limiter(*a, 10);
  auto two = limiter(*b, 10);
  for (int i = 0; i < 6; ++i) one.sent(*one.try_start(noon), noon);
  EXPECT_EQ(starts(two, noon), 4U);
  EXPECT_FALSE(one.try_start(noon));
  EXPECT_LE(one.next_start(noon), noon + window + margin + step);
  EXPECT_FALSE(one.try_start(noon + window + margin - 1ms));
  EXPECT_TRUE(one.try_start(noon + window + margin + step));
}

TEST_F(limit_store_test, each_keeps_its_own_limit_over_the_starts_of_all) {
  const auto a = open();
  const auto b = open();
  auto narrow = limiter(*a, 3);
  auto wide = limiter(*b, 10);
  EXPECT_EQ(starts(wide, noon), 10U);
  EXPECT_EQ(starts(narrow, noon), 0U);
  auto none = limiter(*a, 0);
  EXPECT_TRUE(none.try_start(noon)) << "no limit records without waiting";
}

TEST_F(limit_store_test, a_restart_finds_what_was_sent_before) {
  {
    const auto store = open();
    auto before = limiter(*store, 5);
    EXPECT_EQ(starts(before, noon), 5U);
  }
  const auto store = open(noon + 10s);
  auto after = limiter(*store, 5);
  EXPECT_FALSE(after.try_start(noon + 10s));
  EXPECT_EQ(starts(after, noon + window + margin + step), 5U);
}

TEST_F(limit_store_test, a_pause_holds_every_process_and_outlives_them) {
  {
    const auto store = open();
    limiter(*store, 5).pause(noon + 100s, noon);
  }
  const auto store = open(noon + 1s);
  auto after = limiter(*store, 5);
  EXPECT_EQ(after.next_start(noon + 1s), noon + 100s);
}

TEST_F(limit_store_test, what_a_killed_process_had_not_sent_counts_as_sent_when_that_is_found_out) {
  in_a_killed_process([&] {
    auto store = open();
    auto dying = limiter(*store, 5);
    for (int i = 0; i < 5; ++i) (void)dying.try_start(noon);
  });
  const auto store = open(noon + 30s);
  auto after = limiter(*store, 5);
  EXPECT_EQ(after.look_again(noon + 30s), time_point::max()) << "nobody else is alive";
  EXPECT_FALSE(after.try_start(noon + 30s + window));
  EXPECT_EQ(starts(after, noon + 30s + window + margin + step), 5U);
}

TEST_F(limit_store_test, one_that_dies_later_is_found_out_by_those_that_wait) {
  const auto store = open();
  auto waiting = limiter(*store, 5);
  in_a_killed_process([&] {
    auto own = open();
    auto dying = limiter(*own, 5);
    for (int i = 0; i < 5; ++i) (void)dying.try_start(noon);
  });
  EXPECT_EQ(waiting.next_start(noon + 5s), time_point::max());
  waiting.look_again(noon + 5s);
  EXPECT_LE(waiting.next_start(noon + 5s), noon + 5s + window + margin + step);
}

// The last of the others dies between two looks, with all slots taken: somebody must still see it.
TEST_F(limit_store_test, the_death_of_the_last_of_the_others_is_not_missed) {
  const auto store = open();
  auto waiting = limiter(*store, 5);
  const time_point dies = noon + 1100ms;
  {
    const auto own = open();
    auto dying = limiter(*own, 5);
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(dying.try_start(noon));
    time_point now = noon + 1s;
    ASSERT_EQ(waiting.next_start(now), time_point::max());
    EXPECT_LE(waiting.look_again(now), now + 1s);
  }
  time_point now = dies + 150ms;
  const time_point again = waiting.look_again(now);
  now = std::min(again, waiting.next_start(now));
  ASSERT_LT(now, dies + 2s + window + margin) << "it waits for what will never come";
  waiting.look_again(now);
  EXPECT_LE(waiting.next_start(now), dies + 2s + window + margin + step);
}

TEST_F(limit_store_test, a_process_that_dies_in_the_middle_of_it_blocks_nobody) {
  const auto store = open();
  auto left = limiter(*store, 5);
  EXPECT_TRUE(left.try_start(noon));
  in_a_killed_process([&] {
    const auto own = open();
    const limit_store::hold held(*own, noon);
    ::kill(::getpid(), SIGKILL);
  });
  EXPECT_EQ(starts(left, noon), 4U);
}

TEST_F(limit_store_test, a_file_that_cannot_be_trusted_counts_as_used_up_just_now) {
  const auto size = [&] { return std::filesystem::file_size(path); };
  const std::pair<const char*, std::function<void()>> damages[] = {
      {"empty", [&] { std::filesystem::resize_file(path, 0); }},
      {"cut", [&] { std::filesystem::resize_file(path, size() / 2); }},
      {"of zeros", [&] { dir.write("state/limits/one", std::string(size(), '\0')); }},
      {"foreign", [&] { dir.write("state/limits/one", "{\"some\":\"json\"}"); }},
      {"larger", [&] { dir.write("state/limits/one", std::string(size() * 2, 'x')); }},
      {"of many counts",
       [&] {
         std::string content = dir.read("state/limits/one");
         std::fill(content.begin() + 4096, content.end(), '\x7f');
         dir.write("state/limits/one", content);
       }},
      {"of bounds that hold nothing",  // of the search for what is released next
       [&] {
         std::string content = dir.read("state/limits/one");
         std::fill(content.begin() + 56, content.begin() + 72, '\x7f');
         dir.write("state/limits/one", content);
       }},
  };
  for (const auto& [what, damage] : damages) {
    { const auto store = open(); }
    damage();
    const auto store = open();
    auto after = limiter(*store, 5);
    EXPECT_FALSE(after.try_start(noon)) << what;
    EXPECT_EQ(after.next_start(noon), noon + window + margin) << what;
    EXPECT_EQ(starts(after, noon + window + margin), 5U) << what;
    std::filesystem::remove(path);
  }
}

TEST_F(limit_store_test, another_start_of_the_machine_counts_as_used_up) {
  {
    const auto store = open();
    auto before = limiter(*store, 5);
    EXPECT_TRUE(before.try_start(noon));
  }
  const auto store = open(noon, boot_id{9});
  auto after = limiter(*store, 5);
  EXPECT_EQ(after.next_start(noon), noon + window + margin);
}

TEST_F(limit_store_test, a_file_that_is_damaged_or_removed_while_it_is_used_ends_nobody) {
  const auto store = open();
  auto left = limiter(*store, 5);
  const auto slot = left.try_start(noon);
  ASSERT_TRUE(slot);
  std::filesystem::resize_file(path, 0);
  EXPECT_FALSE(left.try_start(noon)) << "it is full, then, for a window";
  left.sent(*slot, noon);
  left.answered(*slot, noon + 1s);
  EXPECT_EQ(starts(left, noon + window + margin + step), 5U);
  const time_point later = noon + 1h;
  std::filesystem::remove(path);
  EXPECT_FALSE(left.try_start(later));
  EXPECT_TRUE(std::filesystem::exists(path)) << "others find the new one";
  EXPECT_EQ(starts(left, later + window + margin + step), 5U);
}

TEST_F(limit_store_test, the_file_is_its_owners_and_tells_neither_key_nor_relay) {
  const auto name = limit_file_name("https://relay.example:443", "sk-secret-of-the-user");
  EXPECT_EQ(name.size(), 64U);
  EXPECT_NE(name, limit_file_name("https://relay.example:443", "sk-another"));
  EXPECT_NE(name, limit_file_name("https://other.example:443", "sk-secret-of-the-user"));
  path = dir / ("state/limits/" + name);
  const auto store = open();
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(dir / "state").permissions(), perms::owner_all);
  EXPECT_EQ(std::filesystem::status(path).permissions(), perms::owner_read | perms::owner_write);
  EXPECT_EQ(std::filesystem::status(dir / "state/limits").permissions(), perms::owner_all);
  const std::string content = dir.read("state/limits/" + name);
  EXPECT_THAT(content, Not(HasSubstr("secret")));
  EXPECT_THAT(content, Not(HasSubstr("relay")));
}

TEST_F(limit_store_test, a_file_that_others_may_read_is_closed_to_them) {
  { const auto store = open(); }
  using std::filesystem::perms;
  std::filesystem::permissions(path, perms::owner_read | perms::owner_write | perms::others_read);
  const auto store = open();
  EXPECT_EQ(std::filesystem::status(path).permissions(), perms::owner_read | perms::owner_write);
}

// All begin at once, with no file there: none is taken for damage, none gets a window of its own.
TEST_F(limit_store_test, processes_that_begin_at_once_share_the_new_file) {
  constexpr int processes = 8;
  for (int round = 0; round < 20; ++round) {
    std::vector<pid_t> children;
    for (int i = 0; i < processes; ++i) {
      const pid_t child = ::fork();
      if (child == 0) {
        limit_store store(path, this_boot, margin, [](const std::string&) { ::_exit(255); });
        auto own = limiter(store, 3 * processes);
        int taken = 0;
        while (taken < 2) taken += own.try_start(noon) ? 1 : 100;
        ::_exit(taken);
      }
      children.push_back(child);
    }
    for (const pid_t child : children) {
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      ASSERT_TRUE(WIFEXITED(status));
      ASSERT_EQ(WEXITSTATUS(status), 2);
    }
    const auto store = open();
    auto left = limiter(*store, 3 * processes);
    EXPECT_EQ(starts(left, noon), static_cast<unsigned>(processes));
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir / "state/limits"), {}), 1);
    std::filesystem::remove(path);
  }
}

TEST_F(limit_store_test, one_that_cannot_be_shared_says_why_and_limits_all_the_same) {
  const std::string in_the_way = dir.write("file", "");
  std::filesystem::create_symlink(in_the_way, dir / "link");
  for (const std::string& bad : {in_the_way + "/limits/one", dir / "link"}) {
    std::vector<std::string> told;
    limit_store store(bad, this_boot, margin, [&](const std::string& why) { told.push_back(why); });
    auto alone = limiter(store, 3);
    EXPECT_EQ(starts(alone, noon), 3U);
    ASSERT_EQ(told.size(), 1U);
    EXPECT_THAT(told[0], HasSubstr(bad));
  }
}

// The time of the window counts what the machine has slept, wherever the window lives.
TEST_F(limit_store_test, one_that_cannot_be_shared_limits_a_machine_that_has_slept_too) {
  duration slept = 24h;
  limit_store store(
      dir.write("file", "") + "/limits/one", this_boot, margin, [](const std::string&) {},
      [&](limit_window::moment) { return slept; });
  auto alone = limiter(store, 3);
  EXPECT_EQ(starts(alone, noon), 3U);
  EXPECT_LE(alone.next_start(noon), noon + window + margin + step);
  EXPECT_EQ(starts(alone, noon + window + margin + step), 3U);
  slept += 1h;
  EXPECT_EQ(starts(alone, noon + window + margin + step + 1s), 3U)
      << "the relay's minute went by while the machine slept";
}

TEST_F(limit_store_test, one_that_can_be_shared_no_more_says_why_and_limits_all_the_same) {
  std::vector<std::string> told;
  limit_store store(
      path, this_boot, margin, [&](const std::string& why) { told.push_back(why); },
      [](limit_window::moment) { return 24h; });
  auto left = limiter(store, 3);
  EXPECT_EQ(starts(left, noon), 3U);
  ASSERT_TRUE(told.empty());
  std::filesystem::remove_all(dir / "state");
  dir.write("state", "");
  const time_point later = noon + 1h;
  EXPECT_FALSE(left.try_start(later)) << "others may have started as many just now";
  EXPECT_EQ(left.next_start(later), later + window + margin);
  EXPECT_EQ(starts(left, later + window + margin + step), 3U);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_THAT(told[0], HasSubstr(path));
}

TEST_F(limit_store_test, nothing_is_made_before_it_is_needed) {
  const limit_store store(path, this_boot, margin, [](const std::string&) {});
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(limit_store_test, tokens_count_in_the_same_window) {
  const auto a = open();
  const auto b = open();
  auto one = limiter(*a, 0, 1000);
  auto two = limiter(*b, 0, 1000);
  const auto first = one.try_start(noon, 600);
  ASSERT_TRUE(first);
  one.sent(*first, noon);
  EXPECT_FALSE(two.try_start(noon, 500));
  const auto second = two.try_start(noon, 400);
  ASSERT_TRUE(second);
  two.sent(*second, noon);
  one.answered(*first, noon + 1s);
  one.correct(*first, 100, noon + 1s);
  EXPECT_TRUE(two.try_start(noon + 1s, 500)) << "the first took less than was thought";
  EXPECT_FALSE(two.try_start(noon + 1s, 1));
  EXPECT_TRUE(two.try_start(noon + 200s, 0));
}

TEST_F(limit_store_test, a_request_larger_than_the_limit_goes_alone) {
  const auto store = open();
  auto tokens = limiter(*store, 0, 1000);
  const auto large = tokens.try_start(noon, 5000);
  ASSERT_TRUE(large);
  tokens.sent(*large, noon);
  EXPECT_FALSE(tokens.try_start(noon, 1));
  EXPECT_EQ(tokens.next_start(noon, 5000), tokens.next_start(noon, 1));
}

// Three processes with more work than the limit allows, over a virtual hour; one of them dies now
// and then, with all that it had in flight, and is started again. What the relay counts is never
// above the limit, and with little dying nearly all of it is used.
TEST_F(limit_store_test, no_minute_of_the_relay_has_more_whoever_dies) {
  constexpr unsigned per_minute = 40;
  for (const bool deaths : {false, true}) {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      std::filesystem::remove(path);
      std::mt19937_64 random(seed);
      const auto between = [&](duration least, duration most) {
        return duration{
            std::uniform_int_distribution<duration::rep>(least.count(), most.count())(random)};
      };
      struct process {
        std::unique_ptr<limit_store> store;
        std::unique_ptr<rate_limiter> limiter;
        unsigned life = 0;
      };
      std::vector<process> all(3);
      const auto begin = [&](process& one, time_point now) {
        one.limiter.reset();
        one.store.reset();
        one.store = open(now);
        one.limiter = std::make_unique<rate_limiter>(
            rate_limiter::options{per_minute, margin, pacing::burst, 0, one.store.get()});
        ++one.life;
      };
      for (auto& one : all) begin(one, noon);
      using event = std::tuple<time_point, int, std::size_t, unsigned, bool, rate_limiter::slot>;
      const auto later = [](const event& a, const event& b) {
        return std::tie(std::get<0>(a), std::get<1>(a)) > std::tie(std::get<0>(b), std::get<1>(b));
      };
      std::priority_queue<event, std::vector<event>, decltype(later)> events(later);
      std::deque<time_point> arrivals;
      int order = 0;
      for (time_point now = noon; now < noon + 1h; now += 50ms) {
        while (!events.empty() && std::get<0>(events.top()) <= now) {
          const auto [when, number, who, life, head, slot] = events.top();
          events.pop();
          if (all[who].life != life) continue;
          if (head) {
            all[who].limiter->answered(slot, when);
            all[who].limiter->done(slot);
          } else {
            all[who].limiter->sent(slot, when);
          }
        }
        if (deaths && random() % 200 == 0) begin(all[random() % all.size()], now);
        for (std::size_t i = 0; i < all.size(); ++i) {
          const std::size_t who = (i + static_cast<std::size_t>(order)) % all.size();
          if (const auto slot = all[who].limiter->try_start(now)) {
            const time_point sent = now + between(0s, 200ms);
            const time_point counted = sent + between(0s, margin);
            arrivals.push_back(counted);
            events.emplace(sent, order++, who, all[who].life, false, *slot);
            events.emplace(counted + between(10ms, 400ms), order++, who, all[who].life, true,
                           *slot);
          } else {
            all[who].limiter->look_again(now);
          }
        }
      }
      std::sort(arrivals.begin(), arrivals.end());
      for (std::size_t i = per_minute; i < arrivals.size(); ++i) {
        ASSERT_GE(arrivals[i] - arrivals[i - per_minute], 60s) << "seed " << seed;
      }
      const double share = static_cast<double>(arrivals.size()) / (per_minute * 60.0);
      EXPECT_GE(share, deaths ? 0.9 : 0.97) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace sluice
