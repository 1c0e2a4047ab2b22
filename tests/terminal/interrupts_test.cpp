#include "terminal/interrupts.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace sluice::cli {
namespace {

using namespace std::chrono_literals;
using verdict = signal_judge::verdict;

struct arrival {
  std::chrono::milliseconds at;
  int signal;
  verdict expected;
};

TEST(signal_judge, tells_events_from_signals) {
  using enum verdict;
  const std::pair<const char*, std::vector<arrival>> rows[] = {
      {"one Ctrl-C, and one that is impatient",
       {{0ms, SIGINT, end_in_order}, {300ms, SIGINT, end_at_once}}},
      {"any signal is the second one",
       {{0ms, SIGTERM, end_in_order}, {1s, SIGINT, end_at_once}, {2s, SIGTERM, end_at_once}}},
      {"a terminal that goes: kernel and shell",
       {{0ms, SIGHUP, end_in_order}, {5ms, SIGHUP, nothing}}},
      {"systemd, with SendSIGHUP=", {{0ms, SIGTERM, end_in_order}, {0ms, SIGHUP, nothing}}},
      {"Ctrl-C, and then the terminal goes",
       {{0ms, SIGINT, end_in_order}, {1500ms, SIGHUP, nothing}, {1501ms, SIGHUP, nothing}}},
      {"a hang-up much later is somebody's word",
       {{0ms, SIGHUP, end_in_order}, {3s, SIGHUP, end_at_once}}},
      {"timeout: child, group, and SIGCONT to both",
       {{0ms, SIGINT, end_in_order},
        {0ms, SIGINT, end_at_once_unless_continued},
        {1ms, SIGCONT, continued},
        {1ms, SIGCONT, continued}}},
      {"the same, in the order in which several threads may get it",
       {{0ms, SIGINT, end_in_order}, {1ms, SIGCONT, continued}, {1ms, SIGINT, nothing}}},
      {"the same, with SIGCONT first of all",
       {{0ms, SIGCONT, continued}, {0ms, SIGINT, end_in_order}, {1ms, SIGINT, nothing}}},
      {"fg, and later Ctrl-C twice",
       {{0ms, SIGCONT, continued},
        {1s, SIGINT, end_in_order},
        {1050ms, SIGINT, end_at_once_unless_continued}}},
      {"Ctrl-Z and fg ask for nothing",
       {{0ms, SIGCONT, continued}, {1s, SIGINT, end_in_order}, {2s, SIGCONT, continued}}},
  };
  for (const auto& [sentence, arrivals] : rows) {
    signal_judge judge;
    const signal_judge::time_point start{1h};
    for (const auto& one : arrivals) {
      EXPECT_EQ(judge.take(one.signal, start + one.at), one.expected)
          << sentence << ", at " << one.at.count() << " ms";
    }
  }
}

// A loop that records its interrupts. The process sends the signals to itself.
class interrupted_loop {
 public:
  interrupted_loop() {
    signals.listen([this] { told += "in order;"; }, [this] { told += "at once;"; });
  }
  void send(int signal) {
    std::raise(signal);
    for (int i = 0; i < 3; ++i) loop.poll();  // the loop reads the signal from a pipe first
  }

  std::string told;
  boost::asio::io_context loop;
  interrupts signals{loop};
};

TEST(interrupts, call_what_listens_until_it_leaves) {
  interrupted_loop work;
  EXPECT_FALSE(work.signals.came());
  work.send(SIGHUP);
  EXPECT_EQ(work.told, "in order;");
  EXPECT_TRUE(work.signals.came());
  work.signals.leave();
  work.loop.run();      // returns, because no work is left
  std::raise(SIGTERM);  // does not end the process
  EXPECT_EQ(work.told, "in order;");
}

TEST(interrupts, what_is_left_to_do_outlasts_one_signal_and_not_two) {
  interrupted_loop work;
  work.signals.leave();
  std::raise(SIGTERM);
  EXPECT_EXIT(std::raise(SIGTERM), testing::ExitedWithCode(130), "");
}

TEST(interrupts, a_signal_that_is_let_pass_says_so) {
  interrupted_loop work;
  work.signals.leave("still completing the results\n");
  testing::internal::CaptureStderr();
  std::raise(SIGTERM);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "still completing the results\n");
}

TEST(interrupts, two_signals_at_once_are_two_unless_sigcont_follows) {
  for (const bool continued : {false, true}) {
    interrupted_loop work;
    work.send(SIGINT);
    work.send(SIGINT);
    EXPECT_EQ(work.told, "in order;");
    if (continued) work.send(SIGCONT);
    work.loop.run_one_for(continued ? 2 * signal_judge::sent_twice
                                    : signal_judge::sent_twice * 600);
    EXPECT_EQ(work.told, continued ? "in order;" : "in order;at once;");
    work.signals.leave();
  }
}

TEST(interrupts, what_was_ignored_stays_ignored) {
  for (const int signal : stop_signals) {
    const auto before = std::signal(signal, SIG_IGN);
    {
      interrupted_loop work;
      EXPECT_TRUE(is_ignored(signal));
      std::raise(signal);
      work.loop.poll();
      EXPECT_EQ(work.told, "") << signal;
    }
    EXPECT_TRUE(is_ignored(signal));
    std::signal(signal, before);
  }
}

TEST(interrupts, a_terminal_that_is_gone_does_not_end_what_is_left_to_do) {
  const auto before = std::signal(SIGHUP, SIG_DFL);
  { interrupted_loop().send(SIGHUP); }
  std::raise(SIGHUP);  // the signal of the shell comes late
  EXPECT_TRUE(is_ignored(SIGHUP));
  std::signal(SIGHUP, before);
}

}  // namespace
}  // namespace sluice::cli
