#include "async/wait_queue.hpp"

#include <boost/asio/this_coro.hpp>

#include "async/parking.hpp"

namespace sluice {

// The place of one waiter; lives in the frame of its coroutine.
class wait_queue::place {
 public:
  place(wait_queue& in, parking& waiter, bool first)
      : in_(&in),
        waiter_(waiter),
        at_(in.line_.insert(first ? in.line_.begin() : in.line_.end(), this)) {}
  place(const place&) = delete;
  place& operator=(const place&) = delete;
  ~place() {
    if (in_ == nullptr) return;
    wait_queue& left = *in_;
    (woken_ ? left.woken_ : left.line_).erase(at_);
    if (passes_on_) left.wake_one();
  }

  /// `passes_on`: if this waiter never resumes, the next one is woken instead.
  void wake(bool passes_on) {
    in_->woken_.splice(in_->woken_.end(), in_->line_, at_);
    woken_ = true;
    passes_on_ = passes_on;
    waiter_.wake();
  }
  /// The waiter has resumed, so the wake-up is used.
  void take() noexcept { passes_on_ = false; }
  void forget_line() noexcept { in_ = nullptr; }

 private:
  wait_queue* in_;  // null after the queue is destroyed
  parking& waiter_;
  std::list<place*>::iterator at_;
  bool woken_ = false;
  bool passes_on_ = false;
};

wait_queue::~wait_queue() {
  for (place* each : line_) each->forget_line();
  for (place* each : woken_) each->forget_line();
}

boost::asio::awaitable<void> wait_queue::wait(bool first) {
  parking waiter(co_await boost::asio::this_coro::executor);
  place here(*this, waiter, first);
  co_await waiter.wait();
  here.take();
}

boost::asio::awaitable<void> wait_queue::wait_in_both(wait_queue& one, wait_queue& other) {
  parking waiter(co_await boost::asio::this_coro::executor);
  place here(one, waiter, false);
  place there(other, waiter, false);
  co_await waiter.wait();
  here.take();
  there.take();
}

void wait_queue::wake_one() {
  if (!line_.empty()) line_.front()->wake(true);
}

void wait_queue::wake_all() {
  while (!line_.empty()) line_.front()->wake(false);
}

}  // namespace sluice
