#include "terminal/interrupts.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "terminal/exit_status.hpp"

namespace sluice::cli {
namespace {

// Read and written by the signal handler. Signals before `echoes_until` (seconds) belong to an
// earlier signal and are ignored; after that, `to_let_pass` more signals are ignored.
volatile std::sig_atomic_t echoes_until = 0;
volatile std::sig_atomic_t to_let_pass = 0;
// The text that the handler writes for each of these; null: nothing.
const char* volatile words_to_pass = nullptr;

std::sig_atomic_t seconds_now() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::sig_atomic_t>(now.tv_sec);
}

extern "C" void end_of_patience(int) {
  if (seconds_now() < echoes_until) return;
  if (to_let_pass == 0) ::_exit(interrupted);
  to_let_pass = to_let_pass - 1;
  const char* const words = words_to_pass;
  if (words == nullptr) return;
  const int before = errno;
  pollfd ready{STDERR_FILENO, POLLOUT, 0};
  if (::poll(&ready, 1, 0) == 1) (void)!::write(STDERR_FILENO, words, std::strlen(words));
  errno = before;
}

}  // namespace

bool is_ignored(int signal) {
  struct sigaction now {};
  return ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

signal_judge::verdict signal_judge::take(int signal, time_point now) {
  if (signal == SIGCONT) {
    continued_ = now;
    return verdict::continued;
  }
  const auto before = std::exchange(last_, now);
  if (!before) return verdict::end_in_order;
  const auto since = now - *before;
  if (signal == SIGHUP && since < hung_up_again) return verdict::nothing;
  if (since >= sent_twice) return verdict::end_at_once;
  const bool continued = continued_ && now - *continued_ < sent_twice;
  return continued ? verdict::nothing : verdict::end_at_once_unless_continued;
}

interrupts::interrupts(boost::asio::io_context& loop) : signals_(loop, SIGCONT), undecided_(loop) {
  for (const int signal : stop_signals) {
    if (is_ignored(signal)) continue;
    signals_.add(signal);
    taken_.push_back(signal);
  }
}

// After the terminal has closed, the shell may still send a SIGHUP, which must not end the process.
interrupts::~interrupts() {
  boost::system::error_code unlikely;
  signals_.clear(unlikely);
  for (const int signal : taken_) (void)std::signal(signal, SIG_DFL);
  if (hung_up_) (void)std::signal(SIGHUP, SIG_IGN);
}

void interrupts::listen(std::function<void()> end_in_order, std::function<void()> end_at_once) {
  end_in_order_ = std::move(end_in_order);
  end_at_once_ = std::move(end_at_once);
  wait();
}

void interrupts::leave(const char* words) {
  if (std::exchange(left_, true)) return;
  words_to_pass = words;
  undecided_.cancel();
  boost::system::error_code unlikely;
  signals_.cancel(unlikely);
  const auto echo = std::chrono::duration_cast<std::chrono::seconds>(signal_judge::hung_up_again);
  echoes_until = came_ ? seconds_now() + static_cast<std::sig_atomic_t>(echo.count()) : 0;
  to_let_pass = came_ ? 0 : 1;
  signals_.clear(unlikely);
  for (const int signal : taken_) (void)std::signal(signal, end_of_patience);
  if (hung_up_) (void)std::signal(SIGHUP, SIG_IGN);
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
