#include "cluster/window_grants.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>

#include "async/background.hpp"
#include "memory_job_store.hpp"
#include "support/manual_clock.hpp"

namespace sluice::cluster {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

constexpr std::uint64_t cap = 200;

// A store that remembers its largest grant.
class remembering_store : public test::memory_job_store {
 public:
  window_answer call_window(const window_call& call) override {
    const window_answer answer = memory_job_store::call_window(call);
    largest = std::max(largest, answer.granted);
    return answer;
  }
  std::uint64_t largest = 0;
};

// One worker that starts requests, in virtual time.
class WindowGrants : public ::testing::Test {
 protected:
  WindowGrants() {
    store_.now = [this] {
      return std::int64_t{1'700'000'000'000'000} +
             static_cast<std::int64_t>(time_.since_start() * 1e6);
    };
    asio::co_spawn(loop_, grants_.work(), [this](const std::exception_ptr&) { ended_ = true; });
  }
  ~WindowGrants() override {
    grants_.stop();
    test::run_virtual(loop_, time_, [this] { return ended_; });
  }
  /// Tries one start every `interval`, for the time `length`. Returns the number of starts.
  std::uint64_t start_every(duration interval, duration length) {
    std::uint64_t started = 0;
    bool over = false;
    clock::timer next = 0;
    time_.call_at(time_.now() + length, [&over] { over = true; });
    const std::function<void()> one = [&] {
      if (const auto ticket = window_.take(time_.now(), 0)) {
        window_.sent(*ticket, time_.now());
        window_.answered(*ticket, time_.now());
        window_.done(*ticket);
        ++started;
      }
      next = time_.call_at(std::max(time_.now() + interval, window_.next(time_.now())), one);
    };
    one();
    test::run_virtual(loop_, time_, [&] { return over; });
    time_.cancel(next);
    return started;
  }

  asio::io_context loop_{1};
  test::manual_clock time_;
  remembering_store store_;
  background threads_{loop_, 0};
  window_grants grants_{{.loop = loop_,
                         .time = time_,
                         .store = store_,
                         .threads = threads_,
                         .worker = "w",
                         .say = [](const std::string&) {},
                         .awake_or_asleep =
                             [this] {
                               return std::chrono::nanoseconds(
                                   static_cast<std::int64_t>(time_.since_start() * 1e9));
                             }}};
  shared_limit& window_ = grants_.open("window", cap, 0, 1s, 15s);
  bool ended_ = false;
};

// If a worker dies, the starts that it holds are lost to the other workers for a minute.
TEST_F(WindowGrants, ASlowWorkerHoldsLittleOfTheWindow) {
  EXPECT_GE(start_every(500ms, 20s), 30);
  EXPECT_LE(store_.largest, 16);
}

TEST_F(WindowGrants, AFastWorkerHasTheWholeWindowWithinSeconds) {
  EXPECT_EQ(start_every(1ms, 4s), cap);
}

}  // namespace
}  // namespace sluice::cluster
