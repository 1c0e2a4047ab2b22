#include "terminal/user_signals.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <string>

namespace sluice::cli {
namespace {

struct user_signals_test : testing::Test {
  void send(int signal) {
    std::raise(signal);
    poll();
  }
  void poll() {
    for (int i = 0; i < 3; ++i) loop.poll();  // the loop reads the signal from a pipe first
  }
  void listen(user_signals& signals) {
    signals.listen([this] { calls += "first;"; }, [this] { calls += "second;"; });
  }

  std::string calls;
  boost::asio::io_context loop;
};

TEST_F(user_signals_test, call_what_listens_until_they_leave) {
  user_signals signals(loop);
  listen(signals);
  send(SIGUSR1);
  send(SIGUSR2);
  send(SIGUSR1);
  EXPECT_EQ(calls, "first;second;first;");
  signals.leave();
  loop.restart();
  loop.run();  // returns, because no work is left
  std::raise(SIGUSR1);
  std::raise(SIGUSR2);  // the signals do not end the process
  loop.restart();
  poll();
  EXPECT_EQ(calls, "first;second;first;");
}

TEST_F(user_signals_test, do_not_end_the_process_afterwards) {
  { const user_signals signals(loop); }
  std::raise(SIGUSR1);
  std::raise(SIGUSR2);
}

TEST_F(user_signals_test, have_no_effect_if_nothing_takes_them) {
  std::signal(SIGUSR2, SIG_DFL);
  outlast_user_signals();
  std::raise(SIGUSR2);
}

TEST_F(user_signals_test, one_that_comes_early_counts) {
  user_signals signals(loop);
  std::raise(SIGUSR1);
  listen(signals);
  poll();
  EXPECT_EQ(calls, "first;");
}

TEST_F(user_signals_test, what_was_ignored_stays_ignored) {
  const auto before = std::signal(SIGUSR1, SIG_IGN);
  {
    user_signals signals(loop);
    listen(signals);
    send(SIGUSR1);
    EXPECT_EQ(calls, "");
    signals.leave();
  }
  std::signal(SIGUSR1, before);
}

}  // namespace
}  // namespace sluice::cli
