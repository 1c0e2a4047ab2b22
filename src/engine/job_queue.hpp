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

/// Hands requests from the reader thread to the workers on the event loop. The queue itself is
/// lock-free and cannot be awaited; a worker that finds it empty parks, and the reader posts a wake
/// to the loop. A semaphore bounds it, so memory stays flat however large the job.
///
/// push() and finish() belong to the reader thread, pop() and close() to the event loop's.
class job_queue {
 public:
  job_queue(boost::asio::any_io_executor loop, std::size_t capacity);

  /// Waits while the queue is full. False: the queue was closed, and the request is not taken.
  bool push(request&& next);
  /// Nothing more will be pushed: the workers drain what is there and end.
  void finish();

  /// Puts the next request into `next`; false once the queue is closed, or finished and empty.
  boost::asio::awaitable<bool> pop(request& next);
  /// Hands out nothing more and frees a reader that waits for room.
  void close();

  /// Takes up to `count` of the job's requests that wait, spread over the second half of the line.
  /// For the event loop.
  std::vector<request> sample(std::size_t job, std::size_t count);

  /// About how many wait in it.
  std::size_t waiting() const { return ahead_.size() + queue_.size_approx(); }
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
  std::deque<request> ahead_;  // taken out by sample(), and still to be given out first
  std::size_t taken_ = 0;      // since the semaphore was last told
  wait_queue parked_;
  std::atomic<std::size_t> parked_count_{0};
  std::atomic<bool> wake_posted_{false};
  std::atomic<bool> finished_{false};
  std::atomic<bool> closed_{false};
};

}  // namespace sluice
