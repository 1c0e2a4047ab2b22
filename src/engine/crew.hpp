#pragma once

#include <algorithm>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>

#include "async/wait_queue.hpp"

namespace sluice {

/// The workers of a run: one for each attempt that may be in flight, and one more for each worker
/// that waits for a backoff, so that waiting does not reduce the concurrency. Not thread safe: use
/// it on the event loop's thread. It must outlive its workers.
class crew {
 public:
  /// Maximum number of additional workers; each holds one request in memory.
  static constexpr std::size_t most_resting = 4096;

  /// `work`: the coroutine of a worker. It ends when no work is left or too_many() is true, and
  /// must not throw.
  crew(boost::asio::any_io_executor loop, std::size_t wanted,
       std::function<boost::asio::awaitable<void>()> work);
  crew(const crew&) = delete;
  crew& operator=(const crew&) = delete;

  void start();
  /// Changes the number of workers from now on. Surplus workers end after their current request.
  void set_wanted(std::size_t wanted);
  /// Adds no more workers; existing ones end on their own.
  void stop_growing() noexcept { growing_ = false; }
  boost::asio::awaitable<void> wait_until_gone() { return gone_.wait(); }

  /// The calling worker begins to wait; another worker may take its place.
  void rest();
  void resume() noexcept { --resting_; }
  bool too_many() const noexcept { return workers_ - resting_ > wanted_; }

  /// Registers other work for the run; wait_until_gone() also waits for it, until end_other_work().
  void begin_other_work() noexcept;
  void end_other_work();

 private:
  void add();
  boost::asio::awaitable<void> work();

  boost::asio::any_io_executor loop_;
  std::size_t wanted_;
  const std::function<boost::asio::awaitable<void>()> work_;
  std::size_t workers_ = 0;
  std::size_t resting_ = 0;
  bool growing_ = true;
  wait_queue gone_;
};

}  // namespace sluice
