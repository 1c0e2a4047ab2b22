#include "terminal/screen_writer.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "base/display_width.hpp"

namespace sluice::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t most_queued = std::size_t{64} << 10;  // bytes
// Progress is counted after each piece, so that a slow reader is not taken for a stopped one.
constexpr std::size_t piece = 4096;
constexpr std::string_view erase_live = "\r\x1b[K";

// Blocks all signals in threads that are started in its scope, so that the other threads get them.
// Only SIGTTOU (`stty tostop`) goes to the thread that writes.
class signals_for_others {
 public:
  signals_for_others() {
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  signals_for_others(const signals_for_others&) = delete;
  signals_for_others& operator=(const signals_for_others&) = delete;
  ~signals_for_others() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

}  // namespace

std::size_t columns_of(int terminal) {
  winsize size{};
  const bool known = ::ioctl(terminal, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80U;
}

std::size_t rows_of(int terminal) {
  winsize size{};
  const bool known = ::ioctl(terminal, TIOCGWINSZ, &size) == 0 && size.ws_row > 0;
  return known ? size.ws_row : 24U;
}

// Shared with the thread, which may wait in write() longer than the writer exists.
class screen_writer::state : public std::enable_shared_from_this<state> {
 public:
  state(int file, thread_start start) : file_(file), start_(std::move(start)) {}

  void line(const std::string& text) {
    const std::lock_guard lock(mutex_);
    lines_.push_back(text + "\n");
    queued_ += lines_.back().size();
    while (queued_ > most_queued && lines_.size() > 1) {
      queued_ -= lines_.front().size();
      lines_.pop_front();
      ++dropped_;
    }
    wake();
  }

  void live(const std::string& text) {
    const std::lock_guard lock(mutex_);
    if (text.empty() && live_.empty()) return;
    live_ = text;
    live_changed_ = true;
    wake();
  }

  void give_up() {
    const std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }

  bool settle(milliseconds patience, bool unless_stuck) {
    constexpr int times = 5;
    std::unique_lock lock(mutex_);
    if (unless_stuck && stuck_at_ == progress_) return settled();
    const auto end = steady_clock::now() + times * patience;
    while (!settled()) {
      const std::uint64_t before = progress_;
      const auto until = std::min(steady_clock::now() + patience, end);
      if (changed_.wait_until(lock, until, [&] { return settled() || progress_ != before; }))
        continue;
      // On a busy machine the thread may get no time, although the file takes text.
      const bool delayed = writing_ && takes_text() && steady_clock::now() < end;
      if (!writing_) write_what_fits();
      if (delayed || progress_ != before) continue;
      stuck_at_ = progress_;
      return false;
    }
    return true;
  }

 private:
  bool has_work() const { return !rest_.empty() || !lines_.empty() || live_changed_; }
  bool settled() const { return !has_work() && !writing_; }

  // The caller holds the mutex.
  void wake() {
    if (!started_) start();
    if (started_) {
      changed_.notify_all();
    } else {
      write_what_fits();
    }
  }

  void start() {
    const signals_for_others mask;
    try {
      start_([self = shared_from_this()] { self->write_all(); });
      started_ = true;
    } catch (const std::system_error&) {  // no more threads for this user
    }
  }

  void write_all() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return over_ || has_work(); });
      if (over_) return;
      const std::string text = next_piece();
      writing_ = true;
      lock.unlock();
      put(text);
      lock.lock();
      writing_ = false;
      changed_.notify_all();
    }
  }

  bool takes_text() const {
    pollfd ready{file_, POLLOUT, 0};
    return ::poll(&ready, 1, 0) == 1;
  }

  // Writes on the caller's thread, as long as the file takes text without blocking. The caller
  // holds the mutex, and the thread is not writing.
  void write_what_fits() {
    while (has_work()) {
      rest_ = next_piece();
      while (!rest_.empty()) {
        if (!takes_text()) return;
        const ssize_t n = ::write(file_, rest_.data(), std::min(rest_.size(), piece));
        if (n >= 0) {
          rest_.erase(0, static_cast<std::size_t>(n));
          ++progress_;
        } else if (errno == EAGAIN) {
          return;
        } else if (errno != EINTR) {
          rest_.clear();  // there is no way left to report it
        }
      }
    }
  }

  // The next text to write: whole lines, with the live line below them. The notice about dropped
  // lines comes first, because older lines are dropped before newer ones.
  std::string next_piece() {
    std::string text = std::exchange(rest_, {});
    if (!text.empty()) return text;
    if (live_drawn_) text += erase_live;
    if (dropped_ > 0) {
      text += fmt::format("sluice: {} line(s) are not shown: nobody read them in time\n", dropped_);
    }
    dropped_ = 0;
    while (!lines_.empty() && text.size() < piece) {
      text += lines_.front();
      queued_ -= lines_.front().size();
      lines_.pop_front();
    }
    live_drawn_ = !live_.empty();
    live_changed_ = false;
    if (live_drawn_) text += fitting(live_, columns_of(file_) - 1);
    return text;
  }

  void put(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::write(file_, text.data(), std::min(text.size(), piece));
      if (n >= 0) {
        text.remove_prefix(static_cast<std::size_t>(n));
        const std::lock_guard lock(mutex_);
        ++progress_;
        changed_.notify_all();
      } else if (errno == EAGAIN) {  // another program set O_NONBLOCK
        pollfd ready{file_, POLLOUT, 0};
        ::poll(&ready, 1, -1);
      } else if (errno != EINTR) {
        return;  // there is no way left to report it
      }
    }
  }

  const int file_;
  const thread_start start_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> lines_;
  std::size_t queued_ = 0;  // bytes
  std::uint64_t dropped_ = 0;
  std::string rest_;  // of a text that did not fit; comes before the lines
  std::string live_;
  bool live_changed_ = false;
  bool live_drawn_ = false;
  bool started_ = false;
  bool writing_ = false;
  bool over_ = false;
  std::uint64_t progress_ = 0;
  std::optional<std::uint64_t> stuck_at_;
};

screen_writer::screen_writer(int file, thread_start start)
    : state_(std::make_shared<state>(file, std::move(start))) {}

void screen_writer::start_detached(std::function<void()> work) {
  std::thread(std::move(work)).detach();
}

screen_writer::~screen_writer() {
  state_->give_up();
}

void screen_writer::line(const std::string& text) {
  const std::lock_guard lock(form_mutex_);
  state_->line(form_ ? form_(text) : text);
}

void screen_writer::finished_line(const std::string& text) {
  state_->line(text);
}

void screen_writer::set_form(std::function<std::string(const std::string&)> form) {
  const std::lock_guard lock(form_mutex_);
  form_ = std::move(form);
}

void screen_writer::live(const std::string& text) {
  state_->live(text);
}

bool screen_writer::settle(milliseconds patience) {
  return state_->settle(patience, false);
}

bool screen_writer::settle_unless_stuck(milliseconds patience) {
  return state_->settle(patience, true);
}

screen_writer& standard_error() {
  static screen_writer writer(STDERR_FILENO);
  return writer;
}

}  // namespace sluice::cli
