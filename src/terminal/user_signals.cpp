#include "terminal/user_signals.hpp"

#include <array>
#include <csignal>
#include <utility>

#include "terminal/interrupts.hpp"

namespace sluice::cli {
namespace {

constexpr std::array<int, 2> both{SIGUSR1, SIGUSR2};

// Unlike SIG_IGN, it ends with an exec.
extern "C" void no_effect(int) {}

}  // namespace

void outlast_user_signals() {
  struct sigaction outlast {};
  outlast.sa_handler = no_effect;
  outlast.sa_flags = SA_RESTART;
  for (const int signal : both) {
    if (!is_ignored(signal)) (void)::sigaction(signal, &outlast, nullptr);
  }
}

user_signals::user_signals(boost::asio::io_context& loop) : signals_(loop) {
  for (const int signal : both) {
    if (!is_ignored(signal)) signals_.add(signal);
  }
}

user_signals::~user_signals() {
  boost::system::error_code unlikely;
  signals_.clear(unlikely);
  outlast_user_signals();  // the program may still write results
}

void user_signals::listen(std::function<void()> on_first, std::function<void()> on_second) {
  on_first_ = std::move(on_first);
  on_second_ = std::move(on_second);
  wait();
}

void user_signals::leave() {
  left_ = true;
  boost::system::error_code unlikely;
  signals_.cancel(unlikely);
}

void user_signals::wait() {
  signals_.async_wait([this](const boost::system::error_code& error, int signal) {
    if (error || left_) return;
    (signal == SIGUSR1 ? on_first_ : on_second_)();
    if (!left_) wait();
  });
}

}  // namespace sluice::cli
