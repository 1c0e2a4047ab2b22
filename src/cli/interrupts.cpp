#include "cli/interrupts.hpp"

#include <utility>

namespace sluice::cli {

bool is_ignored(int signal) {
  struct sigaction now {};
  return ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

signal_judge::verdict signal_judge::take(int signal, time_point now) {
  if (signal == SIGCONT) return verdict::continued;
  const auto before = std::exchange(last_, now);
  if (!before) return verdict::end_in_order;
  const auto since = now - *before;
  if (signal == SIGHUP && since < hung_up_again) return verdict::nothing;
  return since < sent_twice ? verdict::end_at_once_unless_continued : verdict::end_at_once;
}

interrupts::interrupts(boost::asio::io_context& loop) : signals_(loop, SIGCONT), undecided_(loop) {
  for (const int signal : stop_signals) {
    if (!is_ignored(signal)) signals_.add(signal);
  }
}

// Where the terminal is gone, the shell's own SIGHUP may still come: what is left to do is done.
interrupts::~interrupts() {
  boost::system::error_code unlikely;
  signals_.clear(unlikely);
  if (hung_up_) (void)std::signal(SIGHUP, SIG_IGN);
}

void interrupts::listen(std::function<void()> end_in_order, std::function<void()> end_at_once) {
  end_in_order_ = std::move(end_in_order);
  end_at_once_ = std::move(end_at_once);
  wait();
}

void interrupts::leave() {
  left_ = true;
  signals_.cancel();
  undecided_.cancel();
}

void interrupts::wait() {
  signals_.async_wait([this](const boost::system::error_code& error, int signal) {
    if (error || left_) return;
    take(signal);
    if (!left_) wait();
  });
}

void interrupts::take(int signal) {
  hung_up_ = hung_up_ || signal == SIGHUP;
  using enum signal_judge::verdict;
  switch (judge_.take(signal, std::chrono::steady_clock::now())) {
    case nothing:
      return;
    case end_in_order:
      came_ = true;
      end_in_order_();
      return;
    case end_at_once:
      end_at_once_();
      return;
    case end_at_once_unless_continued:
      undecided_.expires_after(signal_judge::sent_twice);
      undecided_.async_wait([this](const boost::system::error_code& error) {
        if (!error && !left_) end_at_once_();
      });
      return;
    case continued:
      undecided_.cancel();
      return;
  }
}

}  // namespace sluice::cli
