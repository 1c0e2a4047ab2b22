#include "engine/job_queue.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace sluice {

job_queue::job_queue(boost::asio::any_io_executor loop, std::size_t capacity)
    : loop_(std::move(loop)),
      capacity_(capacity),
      queue_(capacity),
      producer_(queue_),
      consumer_(queue_),
      room_(static_cast<moodycamel::LightweightSemaphore::ssize_t>(capacity)) {}

std::size_t job_queue::capacity_for(std::size_t workers) {
  return std::clamp<std::size_t>(workers * 8, 64, 1024);
}

bool job_queue::push(request&& next) {
  if (!room_.tryWait()) {
    waits_for_room_.store(true);
    room_.wait();
    waits_for_room_.store(false);
  }
  if (closed_.load()) return false;
  queue_.enqueue(producer_, std::move(next));
  // Pairs with the fence in pop(): either the worker sees the request, or this thread sees that the
  // worker is parked.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (parked_count_.load() > 0) post_wake();
  return true;
}

void job_queue::finish() {
  finished_.store(true);
  post_wake();
  reader_ended_.store(true);
}

void job_queue::post_wake() {
  if (wake_posted_.exchange(true)) return;
  boost::asio::post(loop_, [this] {
    wake_posted_.store(false);
    if (finished_.load()) {
      parked_.wake_all();
    } else {
      for (auto n = std::max<std::size_t>(waiting(), 1); n > 0 && parked_.size() > 0; --n) {
        parked_.wake_one();
      }
    }
  });
}

// Signals free space to the reader after each quarter of the capacity, or when the queue is empty.
// A signal for each request would be a system call and cost more than the rest of the transfer.
void job_queue::took_one() {
  ++taken_;
  if (taken_ * 4 >= capacity_ || queue_.size_approx() == 0) {
    room_.signal(static_cast<moodycamel::LightweightSemaphore::ssize_t>(std::exchange(taken_, 0U)));
  }
}

bool job_queue::take_ahead(request& next) {
  if (ahead_.empty()) return false;
  next = std::move(ahead_.front());
  ahead_.pop_front();
  took_one();
  return true;
}

std::vector<request> job_queue::sample(std::size_t job, std::size_t count) {
  request next;
  while (queue_.try_dequeue(consumer_, next)) ahead_.push_back(std::move(next));
  std::vector<std::size_t> places;  // positions of the job's requests in the second half
  for (std::size_t i = ahead_.size() / 2; i < ahead_.size(); ++i) {
    if (ahead_[i].job == job) places.push_back(i);
  }
  count = std::min(count, places.size());
  std::vector<request> taken;
  for (std::size_t i = count; i-- > 0;) {  // from the end, so that earlier positions stay valid
    const std::size_t place = places[i * places.size() / count];
    taken.push_back(std::move(ahead_[place]));
    ahead_.erase(ahead_.begin() + static_cast<std::ptrdiff_t>(place));
    took_one();
  }
  return taken;
}

boost::asio::awaitable<bool> job_queue::pop(request& next) {
  for (;;) {
    if (closed_.load()) co_return false;
    const bool all_pushed = finished_.load();
    if (take_ahead(next)) co_return true;
    if (queue_.try_dequeue(consumer_, next)) {
      took_one();
      co_return true;
    }
    if (all_pushed) co_return false;
    parked_count_.fetch_add(1);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (queue_.try_dequeue(consumer_, next)) {
      parked_count_.fetch_sub(1);
      took_one();
      co_return true;
    }
    if (!finished_.load() && !closed_.load()) co_await parked_.wait();
    parked_count_.fetch_sub(1);
  }
}

void job_queue::close() {
  closed_.store(true);
  room_.signal();
  parked_.wake_all();
}

}  // namespace sluice
