// Tests rate_limiter, limit_store and limit_window together, with a window that several processes
// share.
#include "upstream/limit_store.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <deque>
#include <filesystem>
#include <queue>
#include <random>
#include <tuple>

#include "files/locks.hpp"
#include "support/refusing_limit.hpp"
#include "support/temp_dir.hpp"
#include "upstream/rate_limiter.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

constexpr time_point noon = time_point{} + 1000h;
constexpr duration window = 60s + 18ms;
constexpr duration margin = 1s;
constexpr duration step = 17ms;  // a release may be late by one bucket
constexpr host_id this_host{.boot = {1, 2, 3}, .machine = {7}};

struct limit_store_test : testing::Test {
  test::temp_dir dir;
  std::string base = dir / "state/limits/one";  // common prefix of the window's file names
  std::string path = file_of(this_host);
  unsigned other_machines = 0;
  std::vector<std::optional<lock_holder>> held_up;

  std::string file_of(const host_id& host) const { return limit_file_name(base, host.boot); }
  limit_store::reports callbacks() {
    return {.not_shared = [](const std::string& why) { ADD_FAILURE() << why; },
            .held_up = [this](const std::optional<lock_holder>& who) { held_up.push_back(who); },
            .other_machine = [this] { ++other_machines; }};
  }
  // Each store opens the file itself. So its locks act like those of a separate process.
  std::unique_ptr<limit_store> open(time_point now = noon, const host_id& host = this_host) {
    auto store = std::make_unique<limit_store>(base, host, margin, callbacks());
    const limit_store::hold opened(*store, now);
    return store;
  }
  std::string in_dir() const { return path.substr(dir.path().size() + 1); }
  std::string read_path() const { return dir.read(in_dir()); }
  void write_path(const std::string& content) const { dir.write(in_dir(), content); }
  void write_as_version_1() const {
    std::string content = read_path();
    content.at(8) = '\1';                // the version
    content.resize(content.size() - 8);  // version 1 had no lock
    write_path(content);
  }
  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(dir / "state/limits"), {}));
  }
  static void age(const std::string& file, std::chrono::hours by) {
    std::filesystem::last_write_time(file, std::filesystem::last_write_time(file) - by);
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
  // Runs `body` in a child process that is killed at the end.
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

TEST_F(limit_store_test, each_process_applies_its_own_limit_to_the_starts_of_all) {
  const auto a = open();
  const auto b = open();
  auto narrow = limiter(*a, 3);
  auto wide = limiter(*b, 10);
  EXPECT_EQ(starts(wide, noon), 10U);
  EXPECT_EQ(starts(narrow, noon), 0U);
  auto none = limiter(*a, 0);
  EXPECT_TRUE(none.try_start(noon)) << "without a limit it counts but does not wait";
}

TEST_F(limit_store_test, a_restarted_process_counts_earlier_starts) {
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

TEST_F(limit_store_test, a_pause_applies_to_all_processes_and_outlives_them) {
  {
    const auto store = open();
    limiter(*store, 5).pause(noon + 100s, noon);
  }
  const auto store = open(noon + 1s);
  auto after = limiter(*store, 5);
  EXPECT_EQ(after.next_start(noon + 1s), noon + 100s);
}

TEST_F(limit_store_test, unsent_starts_of_a_killed_process_count_as_sent_when_it_is_detected) {
  in_a_killed_process([&] {
    auto store = open();
    auto dying = limiter(*store, 5);
    for (int i = 0; i < 5; ++i) (void)dying.try_start(noon);
  });
  const auto store = open(noon + 30s);
  auto after = limiter(*store, 5);
  EXPECT_EQ(after.look_again(noon + 30s), noon + 31s) << "no other process is alive";
  EXPECT_FALSE(after.try_start(noon + 30s + window));
  EXPECT_EQ(starts(after, noon + 30s + window + margin + step), 5U);
}

TEST_F(limit_store_test, waiting_processes_detect_one_that_dies_later) {
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

// The last other process has taken all slots, and dies between two checks.
TEST_F(limit_store_test, the_death_of_the_last_other_process_is_detected) {
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
  ASSERT_LT(now, dies + 2s + window + margin) << "it waits for an event that will never come";
  waiting.look_again(now);
  EXPECT_LE(waiting.next_start(now), dies + 2s + window + margin + step);
}

TEST_F(limit_store_test, a_process_that_dies_while_it_has_the_lock_blocks_no_other) {
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

TEST_F(limit_store_test, a_damaged_file_counts_as_a_limit_that_was_just_used_up) {
  const auto size = [&] { return std::filesystem::file_size(path); };
  const std::pair<const char*, std::function<void()>> damages[] = {
      {"empty", [&] { std::filesystem::resize_file(path, 0); }},
      {"cut", [&] { std::filesystem::resize_file(path, size() / 2); }},
      {"of zeros", [&] { write_path(std::string(size(), '\0')); }},
      {"foreign", [&] { write_path("{\"some\":\"json\"}"); }},
      {"larger", [&] { write_path(std::string(size() * 2, 'x')); }},
      {"of many counts",
       [&] {
         std::string content = read_path();
         std::fill(content.begin() + 4096, content.end(), '\x7f');
         write_path(content);
       }},
      {"of wrong search bounds",
       [&] {
         std::string content = read_path();
         std::fill(content.begin() + 56, content.begin() + 72, '\x7f');
         write_path(content);
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

TEST_F(limit_store_test, after_a_reboot_the_limit_counts_as_used_up) {
  {
    const auto store = open();
    auto before = limiter(*store, 5);
    EXPECT_TRUE(before.try_start(noon));
  }
  const auto store = open(noon, {.boot = {9}, .machine = this_host.machine});
  auto after = limiter(*store, 5);
  EXPECT_EQ(after.next_start(noon), noon + window + margin);
}

TEST_F(limit_store_test, a_file_that_is_damaged_or_removed_during_use_stops_no_process) {
  const auto store = open();
  auto left = limiter(*store, 5);
  const auto slot = left.try_start(noon);
  ASSERT_TRUE(slot);
  std::filesystem::resize_file(path, 0);
  const time_point next_check = noon + limit_store::check_interval;
  EXPECT_FALSE(left.try_start(next_check)) << "it counts as full for one window";
  left.sent(*slot, next_check);
  left.answered(*slot, noon + 1s);
  EXPECT_EQ(starts(left, next_check + window + margin + step), 5U);
  const time_point later = noon + 1h;
  std::filesystem::remove(path);
  EXPECT_FALSE(left.try_start(later));
  EXPECT_TRUE(std::filesystem::exists(path)) << "a new file for the other processes";
  EXPECT_EQ(starts(left, later + window + margin + step), 5U);
}

TEST_F(limit_store_test, a_file_that_is_cut_between_two_checks_ends_no_process) {
  shared_mapping::handle_cut_files();
  const auto store = open();
  const auto other = open();
  auto left = limiter(*store, 5);
  auto right = limiter(*other, 5);
  const auto slot = left.try_start(noon);
  ASSERT_TRUE(slot);
  ASSERT_TRUE(right.try_start(noon));
  std::filesystem::resize_file(path, 0);
  EXPECT_FALSE(left.try_start(noon + 1ms)) << "nothing is known, so it counts as full";
  EXPECT_FALSE(right.try_start(noon + 1ms));
  left.sent(*slot, noon + 2ms);
  left.answered(*slot, noon + 1s);
  const time_point free = noon + 1s + window + margin + step;
  EXPECT_EQ(starts(left, free) + starts(right, free), 5U) << "they share it again";
}

// ---- Version 1 of the file: its processes lock the first byte for each access.

TEST_F(limit_store_test, a_table_of_version_1_is_taken_over_with_its_starts) {
  {
    const auto store = open();
    auto before = limiter(*store, 5);
    EXPECT_EQ(starts(before, noon), 5U);
  }
  write_as_version_1();
  const auto store = open(noon + 1s);
  auto after = limiter(*store, 7);
  EXPECT_EQ(starts(after, noon + 1s), 2U);
  const auto second = open(noon + 1s);
  EXPECT_TRUE(second->has_company());
}

TEST_F(limit_store_test, a_table_that_a_process_of_version_1_uses_is_left_alone) {
  { const auto store = open(); }
  write_as_version_1();
  const std::string before = read_path();
  const int other = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_TRUE(lock_bytes(other, 3, 1)) << "as an owner";
  std::vector<std::string> reasons;
  limit_store store(base, this_host, margin,
                    {[&](const std::string& why) { reasons.push_back(why); }});
  auto own = limiter(store, 5);
  EXPECT_FALSE(own.try_start(noon)) << "the other one may have used it up";
  EXPECT_THAT(reasons, testing::ElementsAre(HasSubstr("an earlier version of sluice")));
  EXPECT_EQ(read_path().substr(0, before.size()), before);
  EXPECT_TRUE(lock_bytes(other, 0, 1)) << "it goes on";
  ::close(other);
}

TEST_F(limit_store_test, a_process_of_version_1_cannot_use_the_table) {
  const auto store = open();
  const int other = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  EXPECT_FALSE(lock_bytes(other, 0, 1));
  ASSERT_TRUE(find_lock_holder(other));
  EXPECT_EQ(find_lock_holder(other)->process, ::getpid()) << "it names the process in the way";
  ::close(other);
}

TEST_F(limit_store_test, a_process_of_version_1_inside_its_lock_is_waited_for) {
  { const auto store = open(); }
  write_as_version_1();
  const int other = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_TRUE(lock_bytes(other, 0, 1));
  limit_store store(base, this_host, margin, callbacks());
  auto own = limiter(store, 5);
  EXPECT_FALSE(own.try_start(noon));
  EXPECT_TRUE(own.is_held_up());
  ::close(other);
  EXPECT_EQ(starts(own, noon + 1s), 5U);
}

// ---- The lock is a word in the table.

TEST_F(limit_store_test, a_lock_of_an_owner_that_does_not_exist_is_taken_over) {
  const auto store = open();
  auto left = limiter(*store, 100);
  for (const char left_there : {'\x01', '\x07', '\x7f'}) {
    std::string content = read_path();
    content.replace(content.size() - 8, 8, std::string(8, left_there));
    const int file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_EQ(::pwrite(file, content.data(), content.size(), 0),
              static_cast<ssize_t>(content.size()));
    ::close(file);
    EXPECT_TRUE(left.try_start(noon));
  }
}

// Several processes change the table as fast as they can, and some are killed in the middle. No
// start may be lost, and no process may wait forever.
TEST_F(limit_store_test, processes_that_use_the_table_at_the_same_time_lose_no_start) {
  constexpr unsigned each = 3'000;
  constexpr unsigned processes = 4;
  const auto store = open();
  const auto begun = std::chrono::steady_clock::now();
  const auto now = [&] {
    return noon + std::chrono::duration_cast<duration>(std::chrono::steady_clock::now() - begun);
  };
  std::vector<pid_t> killed;
  std::array<int, 2> at_work{};  // a pipe: a byte from each process that has begun
  ASSERT_EQ(::pipe2(at_work.data(), O_CLOEXEC), 0);
  for (unsigned i = 0; i < 3; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      const auto own = open(now());
      auto mine = limiter(*own, 1'000'000);
      for (unsigned n = 0;;) {
        const auto slot = mine.try_start(now());
        if (!slot) continue;
        mine.cancel(*slot, now());
        if (++n == 100 && ::write(at_work[1], "x", 1) != 1) ::_exit(1);
      }
    }
    killed.push_back(child);
  }
  std::vector<pid_t> children;
  for (unsigned i = 0; i < processes; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      limit_store own(base, this_host, margin, {[](const std::string&) { ::_exit(1); }});
      auto mine = limiter(own, 1'000'000);
      for (unsigned n = 0; n < each;) {
        if (const auto slot = mine.try_start(now())) {
          mine.sent(*slot, now());
          ++n;
        } else {
          ::sched_yield();
        }
      }
      while (mine.is_behind()) mine.catch_up(now());
      ::_exit(0);
    }
    children.push_back(child);
  }
  ::close(at_work[1]);
  for (std::size_t i = 0; i < killed.size(); ++i) {
    char byte = 0;
    ASSERT_EQ(::read(at_work[0], &byte, 1), 1);
  }
  ::close(at_work[0]);
  for (const pid_t child : killed) {
    ::kill(child, SIGKILL);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    ASSERT_EQ(WEXITSTATUS(status), 0);
  }
  auto left = limiter(*store, each * processes + 10);
  const unsigned more = starts(left, now());
  EXPECT_LE(more, 10U);
  EXPECT_GE(more, 10U - static_cast<unsigned>(killed.size())) << "each had one unsent at most";
}

TEST_F(limit_store_test, the_file_is_private_and_reveals_neither_key_nor_relay) {
  const auto name = limit_file_name("https://relay.example:443", "sk-secret-of-the-user");
  EXPECT_EQ(name.size(), 64U);
  EXPECT_NE(name, limit_file_name("https://relay.example:443", "sk-another"));
  EXPECT_NE(name, limit_file_name("https://other.example:443", "sk-secret-of-the-user"));
  base = dir / ("state/limits/" + name);
  path = file_of(this_host);
  const auto store = open();
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(dir / "state").permissions(), perms::owner_all);
  EXPECT_EQ(std::filesystem::status(path).permissions(), perms::owner_read | perms::owner_write);
  EXPECT_EQ(std::filesystem::status(dir / "state/limits").permissions(), perms::owner_all);
  const std::string content = read_path();
  EXPECT_THAT(content, Not(HasSubstr("secret")));
  EXPECT_THAT(content, Not(HasSubstr("relay")));
}

TEST_F(limit_store_test, a_file_that_others_may_read_is_made_private) {
  { const auto store = open(); }
  using std::filesystem::perms;
  std::filesystem::permissions(path, perms::owner_read | perms::owner_write | perms::others_read);
  const auto store = open();
  EXPECT_EQ(std::filesystem::status(path).permissions(), perms::owner_read | perms::owner_write);
}

// All processes start at the same time without a file. No process may see a damaged file or get a
// private window.
TEST_F(limit_store_test, processes_that_start_at_the_same_time_share_the_new_file) {
  constexpr int processes = 8;
  // All processes use one clock. A process with a clock behind the window's clock would get a
  // private window.
  const auto begun = std::chrono::steady_clock::now();
  const auto now = [&] {
    return noon + std::chrono::duration_cast<duration>(std::chrono::steady_clock::now() - begun);
  };
  for (int round = 0; round < 20; ++round) {
    std::vector<pid_t> children;
    for (int i = 0; i < processes; ++i) {
      const pid_t child = ::fork();
      if (child == 0) {
        limit_store store(base, this_host, margin, {[](const std::string&) { ::_exit(255); }});
        auto own = limiter(store, 3 * processes);
        // Another process may hold the lock at this moment: then try again.
        int taken = 0;
        while (taken < 2) {
          if (own.try_start(now())) {
            ++taken;
          } else if (own.is_held_up()) {
            ::sched_yield();
          } else {
            ::_exit(100);
          }
        }
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
    EXPECT_EQ(starts(left, now()), static_cast<unsigned>(processes));
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir / "state/limits"), {}), 1);
    std::filesystem::remove(path);
  }
}

TEST_F(limit_store_test, a_window_that_cannot_be_shared_reports_why_and_still_limits) {
  const std::string in_the_way = dir.write("file", "");
  std::filesystem::create_symlink(in_the_way, limit_file_name(dir / "link", this_host.boot));
  for (const std::string& bad : {in_the_way + "/limits/one", dir / "link"}) {
    std::vector<std::string> reasons;
    limit_store store(bad, this_host, margin,
                      {[&](const std::string& why) { reasons.push_back(why); }});
    auto alone = limiter(store, 3);
    EXPECT_EQ(starts(alone, noon), 3U);
    ASSERT_EQ(reasons.size(), 1U);
    EXPECT_THAT(reasons[0], HasSubstr(bad));
  }
}

// The time of the window includes the time in which the machine sleeps. This is also true for a
// private window.
TEST_F(limit_store_test, a_private_window_also_counts_the_time_asleep) {
  duration slept = 24h;
  limit_store store(dir.write("file", "") + "/limits/one", this_host, margin,
                    {[](const std::string&) {}},
                    [&](limit_window::moment, time_point) { return slept; });
  auto alone = limiter(store, 3);
  EXPECT_EQ(starts(alone, noon), 3U);
  EXPECT_LE(alone.next_start(noon), noon + window + margin + step);
  EXPECT_EQ(starts(alone, noon + window + margin + step), 3U);
  slept += 1h;
  EXPECT_EQ(starts(alone, noon + window + margin + step + 1s), 3U)
      << "the relay's minute passed while the machine was asleep";
}

TEST_F(limit_store_test, a_window_that_can_no_longer_be_shared_reports_why_and_still_limits) {
  std::vector<std::string> reasons;
  limit_store store(base, this_host, margin,
                    {[&](const std::string& why) { reasons.push_back(why); }},
                    [](limit_window::moment, time_point) { return 24h; });
  auto left = limiter(store, 3);
  EXPECT_EQ(starts(left, noon), 3U);
  ASSERT_TRUE(reasons.empty());
  std::filesystem::remove_all(dir / "state");
  dir.write("state", "");
  const time_point later = noon + 1h;
  EXPECT_FALSE(left.try_start(later)) << "other processes may have used up the limit just now";
  EXPECT_EQ(left.next_start(later), later + window + margin);
  EXPECT_EQ(starts(left, later + window + margin + step), 3U);
  ASSERT_EQ(reasons.size(), 1U);
  EXPECT_THAT(reasons[0], HasSubstr(path));
}

// The stores of several threads, which can go on with windows of their process.
struct threads_test : limit_store_test {
  std::unique_ptr<limit_store> thread(const std::string& at) {
    limit_store::reports told = callbacks();
    told.not_shared = [this](const std::string& why) { reasons.push_back(why); };
    auto store = std::make_unique<limit_store>(at, this_host, margin, told);
    store->fall_back_to(windows);
    return store;
  }
  std::string make_folder() const {
    std::filesystem::create_directory(dir / "own");
    return dir / "own";
  }

  std::vector<std::string> reasons;
  std::shared_ptr<private_windows> windows =
      std::make_shared<private_windows>([this] { return make_folder(); });
};

TEST_F(threads_test, threads_that_cannot_share_the_file_share_a_window_of_the_process) {
  const std::string bad = dir.write("file", "") + "/limits/one";
  const auto a = thread(bad);
  const auto b = thread(bad);
  const auto other = thread(dir / "file/limits/other");
  auto one = limiter(*a, 10);
  auto two = limiter(*b, 10);
  auto third = limiter(*other, 10);
  for (int i = 0; i < 6; ++i) one.sent(*one.try_start(noon), noon);
  EXPECT_EQ(starts(two, noon), 4U);
  EXPECT_FALSE(one.try_start(noon));
  EXPECT_EQ(starts(third, noon), 10U) << "another key has another limit";
  EXPECT_FALSE(a->is_private()) << "a slot that the other thread frees must be noticed";
  EXPECT_THAT(reasons, testing::ElementsAre(HasSubstr(bad))) << "one warning";
}

TEST_F(threads_test, threads_that_can_no_longer_share_the_file_go_on_together) {
  const auto a = thread(base);
  const auto b = thread(base);
  auto one = limiter(*a, 10);
  auto two = limiter(*b, 10);
  EXPECT_EQ(starts(one, noon), 10U);
  EXPECT_FALSE(two.try_start(noon));
  std::filesystem::remove_all(dir / "state");
  dir.write("state", "");
  const time_point later = noon + 1h;
  for (rate_limiter* each : {&one, &two}) {
    EXPECT_FALSE(each->try_start(later)) << "other processes may have used up the limit just now";
  }
  const time_point free = later + window + margin + step;
  EXPECT_EQ(starts(one, free) + starts(two, free), 10U);
  EXPECT_THAT(reasons, testing::ElementsAre(HasSubstr(path))) << "one warning";
}

TEST_F(threads_test, if_one_thread_cannot_share_the_file_none_does) {
  const auto a = thread(base);
  auto one = limiter(*a, 5);
  EXPECT_EQ(starts(one, noon), 5U);
  std::vector<std::unique_ptr<limit_store>> others;
  for (std::size_t i = 1; i < limit_window::most_owners; ++i) others.push_back(open());
  const auto b = thread(base);
  auto two = limiter(*b, 5);
  const time_point later = noon + 1h;
  EXPECT_FALSE(two.try_start(later));
  EXPECT_FALSE(one.try_start(later)) << "the other thread cannot see this start";
  const time_point free = later + window + margin + step;
  EXPECT_EQ(starts(one, free) + starts(two, free), 5U);
  EXPECT_THAT(reasons, testing::ElementsAre(HasSubstr("too many")));
}

TEST_F(threads_test, without_any_folder_a_thread_still_limits) {
  windows = std::make_shared<private_windows>([] { return std::string(); });
  const auto a = thread(dir.write("file", "") + "/limits/one");
  auto one = limiter(*a, 10);
  EXPECT_EQ(starts(one, noon), 10U);
  EXPECT_TRUE(a->is_private());
  EXPECT_EQ(reasons.size(), 1U);
}

TEST_F(limit_store_test, no_file_is_created_before_it_is_needed) {
  const limit_store store(base, this_host, margin, callbacks());
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
  EXPECT_TRUE(two.try_start(noon + 1s, 500)) << "the first one took fewer tokens than reserved";
  EXPECT_FALSE(two.try_start(noon + 1s, 1));
  EXPECT_TRUE(two.try_start(noon + 200s, 0));
}

TEST_F(limit_store_test, a_request_larger_than_the_limit_starts_alone) {
  const auto store = open();
  auto tokens = limiter(*store, 0, 1000);
  const auto large = tokens.try_start(noon, 5000);
  ASSERT_TRUE(large);
  tokens.sent(*large, noon);
  EXPECT_FALSE(tokens.try_start(noon, 1));
  EXPECT_EQ(tokens.next_start(noon, 5000), tokens.next_start(noon, 1));
}

// ---- Several machines share a home folder.

constexpr host_id other_host{.boot = {4, 5, 6}, .machine = {8}};

TEST_F(limit_store_test, machines_that_share_a_home_folder_have_separate_windows) {
  // The clocks of the machines differ by 100 days, and both machines use the folder at the same
  // time.
  const time_point later = noon + 2400h;
  const auto here = open(noon);
  const auto there = open(later, other_host);
  auto one = limiter(*here, 5);
  auto two = limiter(*there, 5);
  for (int minute = 0; minute < 3; ++minute) {
    const duration passed = minute * (window + margin + step);
    EXPECT_EQ(starts(two, later + passed), 5U);
    EXPECT_EQ(starts(one, noon + passed), 5U);
    EXPECT_LE(one.next_start(noon + passed), noon + passed + window + margin + step);
    EXPECT_LE(two.next_start(later + passed), later + passed + window + margin + step);
  }
  EXPECT_EQ(other_machines, 1U) << "the second one found the file of the first";
  EXPECT_EQ(files(), 2U);
}

TEST_F(limit_store_test, containers_of_one_boot_share_a_window_even_with_different_machine_ids) {
  const auto a = open();
  const auto b = open(noon, {.boot = this_host.boot, .machine = other_host.machine});
  auto one = limiter(*a, 5);
  auto two = limiter(*b, 5);
  EXPECT_EQ(starts(one, noon), 5U);
  EXPECT_EQ(starts(two, noon), 0U) << "they have the same clock and the same kernel's locks";
  EXPECT_EQ(other_machines, 0U);
}

TEST_F(limit_store_test, another_machine_is_reported_while_it_uses_its_window) {
  { const auto there = open(noon, other_host); }
  { const auto here = open(); }
  EXPECT_EQ(other_machines, 1U);
  age(file_of(other_host), 1h);
  { const auto here = open(); }
  EXPECT_EQ(other_machines, 1U) << "it is not used any more";
  EXPECT_EQ(files(), 2U) << "the other machine's file is not removed";
}

TEST_F(limit_store_test, old_files_are_removed) {
  constexpr host_id before{.boot = {9}, .machine = this_host.machine};
  { const auto store = open(noon, before); }
  { const auto store = open(noon, other_host); }
  const std::string draft = path + ".aB3dE6";
  dir.write("state/limits/" + draft.substr(draft.rfind('/') + 1), "x");
  const std::string of_another_key =
      dir.write("state/limits/two." + std::string(32, 'a'), "not of this window");
  const std::string foreign = dir.write("state/limits/one.notes", "not ours");
  { const auto store = open(); }
  EXPECT_EQ(files(), 6U) << "all were used just now";
  for (const auto& file : {file_of(before), file_of(other_host), draft, of_another_key, foreign}) {
    age(file, 1h);
  }
  { const auto store = open(); }
  EXPECT_FALSE(std::filesystem::exists(file_of(before)));
  EXPECT_FALSE(std::filesystem::exists(draft));
  EXPECT_TRUE(std::filesystem::exists(file_of(other_host))) << "the other machine may be asleep";
  for (const auto& file : {file_of(other_host), of_another_key, foreign}) age(file, 24h * 8);
  { const auto store = open(); }
  EXPECT_FALSE(std::filesystem::exists(file_of(other_host)));
  EXPECT_TRUE(std::filesystem::exists(of_another_key));
  EXPECT_TRUE(std::filesystem::exists(foreign));
}

TEST_F(limit_store_test, the_file_of_another_machine_is_not_counted) {
  {
    const auto there = open(noon, other_host);
    auto other = limiter(*there, 5);
    EXPECT_EQ(starts(other, noon), 5U);
  }
  const auto here = open();
  auto own = limiter(*here, 5);
  EXPECT_EQ(starts(own, noon), 5U);
}

TEST_F(limit_store_test, a_window_that_is_ahead_of_the_clock_does_not_block_for_ever) {
  std::vector<std::string> reasons;
  {
    const auto strange = open(noon + 2400h);  // the same boot, with another clock
    auto other = limiter(*strange, 5);
    EXPECT_EQ(starts(other, noon + 2400h), 5U);
    limit_store store(base, this_host, margin,
                      {[&](const std::string& why) { reasons.push_back(why); }});
    auto own = limiter(store, 5);
    EXPECT_FALSE(own.try_start(noon));
    const time_point again = own.next_start(noon);
    EXPECT_LE(again, noon + 1s) << "it reads the clock again first";
    EXPECT_FALSE(own.try_start(again));
    EXPECT_THAT(reasons, testing::ElementsAre(HasSubstr("another clock")));
    EXPECT_EQ(own.next_start(again), again + window + margin)
        << "other processes may have used it up";
    EXPECT_EQ(starts(own, again + window + margin + step), 5U);
    EXPECT_EQ(starts(other, noon + 2400h), 0U) << "their window is unchanged";
  }
  // No process uses it any more, so the file counts as damaged.
  const auto store = open(noon);
  auto own = limiter(*store, 5);
  EXPECT_FALSE(own.try_start(noon + 1s));
  EXPECT_EQ(own.next_start(noon + 1s), noon + 1s + window + margin);
}

// The slow process was stopped after it read the clock and before it got the lock.
TEST_F(limit_store_test, a_process_with_an_old_clock_reading_does_no_harm) {
  const auto a = open();
  const auto b = open();
  auto slow = limiter(*a, 5);
  auto quick = limiter(*b, 5);
  EXPECT_EQ(starts(quick, noon + 100s), 5U);
  EXPECT_FALSE(slow.try_start(noon));
  EXPECT_FALSE(slow.try_start(noon + 100s)) << "the window is full";
  EXPECT_LE(slow.next_start(noon + 100s), noon + 100s + window + margin + step);
  EXPECT_EQ(starts(slow, noon + 100s + window + margin + step), 5U);
}

TEST_F(limit_store_test, a_process_beyond_the_maximum_starts_with_a_full_window) {
  std::vector<std::unique_ptr<limit_store>> all;
  for (std::size_t i = 0; i < limit_window::most_owners; ++i) all.push_back(open());
  std::vector<std::string> reasons;
  limit_store store(base, this_host, margin,
                    {[&](const std::string& why) { reasons.push_back(why); }});
  auto own = limiter(store, 5);
  EXPECT_EQ(own.next_start(noon), noon + window + margin);
  EXPECT_THAT(reasons, testing::ElementsAre(HasSubstr("too many")));
}

TEST(host_id_test, the_boot_id_comes_from_the_kernel) {
  const boot_id id = boot_of("a0125d67-674a-47ab-a0cf-687476afecfe", "time:[4026531834]");
  EXPECT_EQ(id[0], 0xa0);
  EXPECT_EQ(id[15], 0xfe);
  EXPECT_EQ(boot_of("a0125d67-674a-47ab-a0cf-687476afecfe", ""), id)
      << "a kernel without time namespaces";
  const boot_id other = boot_of("a0125d67-674a-47ab-a0cf-687476afecfe", "time:[4026532201]");
  EXPECT_NE(other, id) << "another namespace has another clock";
  EXPECT_NE(other, boot_id{});
  for (const char* text : {"", "a0125d67", "a0125d67-674a-47ab-a0cf-687476afecfg"}) {
    EXPECT_EQ(boot_of(text, ""), boot_id{}) << text;
  }
}

TEST(host_id_test, the_machine_id_comes_from_its_file_or_else_from_the_host_name) {
  const std::string id = "3d1219c7c4c5404aaa1f6d2a48adfda4";
  EXPECT_EQ(machine_of(id, "one"), machine_of(id, "two"));
  EXPECT_NE(machine_of(id, "one"), machine_of("4d1219c7c4c5404aaa1f6d2a48adfda4", "one"));
  EXPECT_NE(machine_of("", "one"), machine_of("", "two"));
  EXPECT_EQ(machine_of("uninitialized", "one"), machine_of("", "one"));
  const machine_id hashed = machine_of(id, "");
  EXPECT_NE(hashed[0], 0x3d) << "the id itself must not be exposed";
}

TEST(host_id_test, this_machine_has_an_id) {
  const host_id here = current_host();
  EXPECT_NE(here.boot, boot_id{});
  EXPECT_EQ(here.boot, current_host().boot);
  EXPECT_EQ(here.machine, current_host().machine);
}

// ---- A process is stopped while it holds the lock.

TEST_F(limit_store_test, a_process_stopped_inside_the_lock_is_reported_and_blocks_no_call) {
  const auto store = open();
  auto left = limiter(*store, 5);
  const auto before = left.try_start(noon);
  ASSERT_TRUE(before);
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto own = open();
    const limit_store::hold held(*own, noon);
    (void)!::write(ready[1], "x", 1);
    ::kill(::getpid(), SIGSTOP);
    ::_exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
  ASSERT_TRUE(WIFSTOPPED(status));

  EXPECT_FALSE(left.try_start(noon + 1s));
  EXPECT_TRUE(left.is_held_up());
  left.sent(*before, noon + 1s);
  left.answered(*before, noon + 1s);
  left.done(*before);
  EXPECT_TRUE(left.is_behind());
  for (time_point now = noon + 1s; now < noon + 10s;) {
    const time_point next = left.next_start(now);
    ASSERT_GT(next, now);
    ASSERT_LE(next, now + 100ms) << "it tries again soon, but does not busy-wait";
    EXPECT_EQ(held_up.size(), now < noon + 3s ? 0U : 1U);
    now = next;
    EXPECT_FALSE(left.try_start(now));
  }
  ASSERT_EQ(held_up.size(), 1U);
  ASSERT_TRUE(held_up[0]);
  EXPECT_EQ(held_up[0]->process, child);
  EXPECT_TRUE(held_up[0]->stopped);

  ::kill(child, SIGCONT);
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  left.catch_up(noon + 11s);
  EXPECT_FALSE(left.is_behind());
  EXPECT_FALSE(left.is_held_up());
  EXPECT_EQ(starts(left, noon + 11s), 4U);
  EXPECT_EQ(starts(left, noon + 1s + window + step), 1U) << "one window after the head arrived";
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(limit_store_test, a_process_that_starts_while_the_lock_is_held_waits_and_then_shares) {
  const auto first = open();
  auto kept = std::make_unique<limit_store::hold>(*first, noon);
  limit_store store(base, this_host, margin, callbacks());
  auto late = limiter(store, 5);
  EXPECT_FALSE(late.try_start(noon));
  EXPECT_LE(late.next_start(noon), noon + 100ms);
  EXPECT_FALSE(late.try_start(noon + 3s));
  EXPECT_EQ(held_up.size(), 1U);
  (*kept)->assume_full_until(limit_window::moment::max() / 2);
  kept.reset();
  EXPECT_FALSE(late.try_start(noon + 4s)) << "it sees the change of the holder";
  EXPECT_FALSE(late.is_held_up());
}

TEST_F(limit_store_test, while_the_lock_is_held_too_much_is_counted_and_never_too_little) {
  const auto a = open();
  const auto b = open();
  auto one = limiter(*a, 10, 1000);
  auto two = limiter(*b, 10, 1000);
  const auto whole = one.try_start(noon, 100);
  const auto unsent = one.try_start(noon, 100);
  const auto larger = one.try_start(noon, 100);
  ASSERT_TRUE(whole && unsent && larger);
  {
    const limit_store::hold kept(*b, noon);
    one.sent(*whole, noon + 1s);
    one.answered(*whole, noon + 2s);
    one.done(*whole);
    one.cancel(*unsent, noon + 2s);
    one.done(*unsent);
    one.sent(*larger, noon + 2s);
    one.correct(*larger, 700, noon + 2s);
    one.done(*larger);
    one.pause(noon + 30s, noon + 2s);
    EXPECT_EQ(one.paused_until(noon + 2s), noon + 30s)
        << "the pause already applies in this process";
  }
  EXPECT_EQ(two.next_start(noon + 2s, 800), time_point::max())
      << "events are pending, so all starts count";
  one.catch_up(noon + 3s);
  EXPECT_EQ(two.next_start(noon + 3s), noon + 30s) << "the end of the pause";
  EXPECT_FALSE(two.try_start(noon + 30s, 300)) << "100 and 700 tokens are in the window";
  EXPECT_TRUE(two.try_start(noon + 30s, 200));
  // A late event must not change a slot that was given to another start.
  const auto again = one.try_start(noon + 31s);
  ASSERT_TRUE(again);
  one.answered(*whole, noon + 31s);
  EXPECT_EQ(starts(one, noon + 31s), 6U);
}

// The lock is taken by another process between the hold that takes a slot and the one that gives it
// back.
TEST_F(limit_store_test, a_start_that_the_shared_limit_refuses_leaves_no_slot_behind) {
  const auto a = open();
  const auto b = open();
  test::refusing_limit machines;
  std::optional<limit_store::hold> kept;
  machines.on_take = [&] { kept.emplace(*b, noon); };
  rate_limiter one({5, margin, pacing::burst, 1000, a.get(), &machines});
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(one.try_start(noon, 400));
    ASSERT_TRUE(kept);
    EXPECT_TRUE(one.is_behind());
    kept.reset();
    one.catch_up(noon + 10ms);
    EXPECT_FALSE(one.is_behind());
  }
  machines.on_take = nullptr;
  EXPECT_FALSE(one.try_start(noon + 20ms, 400));
  EXPECT_FALSE(one.is_behind()) << "with the lock, it is given back at once";
  auto two = limiter(*b, 5, 1000);
  EXPECT_TRUE(two.try_start(noon + 20ms, 1000)) << "no tokens are counted";
  EXPECT_EQ(starts(two, noon + 20ms), 4U) << "no start is counted";
}

TEST_F(limit_store_test,
       a_refused_start_of_a_table_that_was_replaced_takes_nothing_from_the_new_one) {
  const auto a = open();
  const auto b = open();
  test::refusing_limit machines;
  std::optional<limit_store::hold> kept;
  rate_limiter one({5, margin, pacing::burst, 0, a.get(), &machines});
  machines.refuses = false;
  const auto unsent = one.try_start(noon);
  ASSERT_TRUE(unsent);
  machines.refuses = true;
  machines.on_take = [&] { kept.emplace(*b, noon); };
  EXPECT_FALSE(one.try_start(noon));
  kept.reset();
  std::filesystem::rename(path, dir / "away");
  const time_point full = noon + 2s + window + margin;
  one.catch_up(noon + 2s);
  EXPECT_FALSE(one.is_behind());
  const auto c = open(full);
  auto three = limiter(*c, 5);
  EXPECT_EQ(starts(three, full), 4U) << "the start that is not sent yet still counts";
}

TEST_F(limit_store_test, a_process_that_ends_with_pending_events_leaves_its_starts_counted) {
  const auto other = open();
  {
    const auto store = open();
    auto ending = limiter(*store, 5);
    const auto slot = ending.try_start(noon);
    ASSERT_TRUE(slot);
    const limit_store::hold kept(*other, noon);
    ending.cancel(*slot, noon + 1s);
  }
  auto left = limiter(*other, 5);
  left.look_again(noon + 2s);
  EXPECT_EQ(starts(left, noon + 2s), 4U);
}

// ---- The file or its folder is moved.

TEST_F(limit_store_test, after_the_folder_is_moved_all_share_one_new_window) {
  for (const char* moved : {"state/limits", "state", "state/limits/one"}) {
    const auto a = open();
    const auto b = open();
    auto one = limiter(*a, 10);
    auto two = limiter(*b, 10);
    EXPECT_EQ(starts(one, noon), 10U);
    const std::string from = moved == std::string("state/limits/one") ? path : dir / moved;
    std::filesystem::rename(from, dir / "away");
    const time_point later = noon + 2s;
    EXPECT_EQ(starts(two, later), 0U) << moved;
    EXPECT_EQ(starts(one, later), 0U) << moved;
    EXPECT_TRUE(std::filesystem::exists(path)) << "a new file for the other processes";
    const auto c = open(later);
    auto three = limiter(*c, 10);
    EXPECT_EQ(starts(three, later), 0U) << "earlier starts are unknown, so it counts as full";
    const time_point full = later + window + margin;
    EXPECT_EQ(starts(one, full) + starts(two, full) + starts(three, full), 10U) << moved;
    EXPECT_EQ(starts(one, full + 2s) + starts(two, full + 2s), 0U) << "they share the new window";
    std::filesystem::remove_all(dir / "away");
    std::filesystem::remove_all(dir / "state");
  }
}

TEST_F(limit_store_test, a_file_that_was_replaced_by_another_one_is_followed) {
  const auto a = open();
  auto one = limiter(*a, 10);
  EXPECT_EQ(starts(one, noon), 3U + 7U);
  std::filesystem::rename(path, dir / "away");
  const auto b = open();  // finds no file and creates a new one
  auto two = limiter(*b, 10);
  EXPECT_EQ(starts(two, noon), 10U);
  const time_point full = noon + 2s + window + margin + step;
  EXPECT_EQ(starts(one, noon + 2s), 0U);
  EXPECT_EQ(starts(one, full) + starts(two, full), 10U) << "both together";
}

TEST_F(limit_store_test, an_unsent_start_is_counted_in_the_replacing_table) {
  const std::pair<const char*, std::function<void()>> losses[] = {
      {"moved", [&] { std::filesystem::rename(path, dir / "away"); }},
      {"removed", [&] { std::filesystem::remove(path); }},
      {"cut", [&] { std::filesystem::resize_file(path, 0); }},
      {"overwritten", [&] { write_path(std::string(std::filesystem::file_size(path), '\x5a')); }},
  };
  for (const auto& [what, lose] : losses) {
    const auto a = open();
    const auto b = open();
    auto slow = limiter(*a, 5);
    auto other = limiter(*b, 5);
    const auto held = slow.try_start(noon);
    ASSERT_TRUE(held);
    lose();
    // Both processes notice the loss at their next check.
    EXPECT_FALSE(other.try_start(noon + 2s)) << what;
    EXPECT_FALSE(slow.try_start(noon + 2s)) << what;
    const time_point full = noon + 2s + window + margin + step;
    EXPECT_EQ(starts(other, full), 4U) << what << ": the unsent start may still arrive";
    slow.sent(*held, full + 1s);
    EXPECT_EQ(starts(other, full + 59s), 0U) << what;
    EXPECT_EQ(starts(other, full + 1s + window + margin + step), 5U) << what;
    const auto c = open(full + 2s + window + margin + step);
    auto sound = limiter(*c, 6);
    EXPECT_EQ(starts(sound, full + 2s + window + margin + step), 1U)
        << what << ": the sums are right";
    std::filesystem::remove_all(dir / "state");
    std::filesystem::remove(dir / "away");
  }
}

TEST_F(limit_store_test, the_path_of_the_file_is_checked_once_a_second) {
  const auto store = open();
  auto left = limiter(*store, 100);
  EXPECT_TRUE(left.try_start(noon));
  std::filesystem::rename(path, dir / "away");
  EXPECT_TRUE(left.try_start(noon + 500ms)) << "it still uses the old file";
  EXPECT_FALSE(left.try_start(noon + 1s));
}

// Three processes with more work than the limit allows, over one virtual hour. From time to time
// one process dies with its attempts in flight and is started again. The relay must never count
// more than the limit, and almost the whole limit must be used.
TEST_F(limit_store_test, the_relay_never_counts_more_than_the_limit_even_if_processes_die) {
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
