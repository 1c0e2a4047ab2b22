#include "terminal/user_signals.hpp"

#include <csignal>
#include <utility>

#include "terminal/interrupts.hpp"

namespace sluice::cli {

user_signals::user_signals(boost::asio::io_context& loop) : signals_(loop) {
  for (const int signal : {SIGUSR1, SIGUSR2}) {
    if (!is_ignored(signal)) signals_.add(signal);
  }
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
