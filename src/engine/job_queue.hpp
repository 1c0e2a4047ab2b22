#pragma once

#include <concurrentqueue/concurrentqueue.h>
#include <concurrentqueue/lightweightsemaphore.h>

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <deque>
#include <vector>

#include "async/wait_queue.hpp"
#include "sluice/job.hpp"

namespace sluice {

/// Passes requests from the reader thread to the workers on the event loop. Thread safety: push()
/// and finish() belong to the reader thread, everything else to the event loop's thread.
///
/// The queue is lock-free and cannot be awaited. A worker that finds it empty parks, and the reader
/// posts a wake-up to the loop. A semaphore limits its size, so memory does not grow with the job.
class job_queue {
 public:
  job_queue(boost::asio::any_io_executor loop, std::size_t capacity);
  /// Large enough that the reader is woken only once for many requests, small enough to save
  /// memory.
  static std::size_t capacity_for(std::size_t workers);

  /// Waits while the queue is full. False: the queue is closed and did not take the request.
  bool push(request&& next);
  /// Nothing more will be pushed: the workers empty the queue and end.
  void finish();

  /// Moves the next request into `next`. False: the queue is closed, or finished and empty.
  boost::asio::awaitable<bool> pop(request& next);
  /// Gives no more requests, and wakes a push() that waits for space.
  void close();

  /// Takes up to `count` waiting requests of the job, evenly from the second half of the queue.
  std::vector<request> sample(std::size_t job, std::size_t count);

  /// Approximate number of waiting requests.
  std::size_t waiting() const { return ahead_.size() + queue_.size_approx(); }
  /// Whether the reader is working: it has not reached its end and does not wait for space.
  bool is_being_filled() const {
    return !reader_ended_.load() && !closed_.load() && !waits_for_room_.load();
  }
  bool drained() const { return finished_.load() && waiting() == 0; }

 private:
  void post_wake();
  void took_one();
  bool take_ahead(request& next);

  boost::asio::any_io_executor loop_;
  const std::size_t capacity_;
  moodycamel::ConcurrentQueue<request> queue_;
  moodycamel::ProducerToken producer_;
  moodycamel::ConsumerToken consumer_;
  moodycamel::LightweightSemaphore room_;
  std::deque<request> ahead_;  // moved here by sample(); pop() gives these first
  std::size_t taken_ = 0;      // requests taken since the last signal to the semaphore
  wait_queue parked_;
  std::atomic<std::size_t> parked_count_{0};
  std::atomic<bool> wake_posted_{false};
  std::atomic<bool> waits_for_room_{false};
  std::atomic<bool> finished_{false};
  std::atomic<bool> reader_ended_{false};  // it has told the loop so
  std::atomic<bool> closed_{false};
};

}  // namespace sluice
