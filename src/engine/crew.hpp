#pragma once

#include <algorithm>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>

#include "async/wait_queue.hpp"

namespace sluice {

/// The workers of a run: as many as there may be attempts in flight, and one more for each that
/// waits out a backoff, so that waiting takes no place from the others. Belongs to the event loop's
/// thread, and outlives its workers.
class crew {
 public:
  /// Workers beyond the wanted ones; each holds one request.
  static constexpr std::size_t most_resting = 4096;

  /// `work`: what a worker does until nothing is left to do, or too_many(); it throws nothing.
  crew(boost::asio::any_io_executor loop, std::size_t wanted,
       std::function<boost::asio::awaitable<void>()> work);
  crew(const crew&) = delete;
  crew& operator=(const crew&) = delete;

  void start();
  /// No more are added; those that are there end by themselves.
  void stop_growing() noexcept { growing_ = false; }
  boost::asio::awaitable<void> wait_until_gone() { return gone_.wait(); }

  /// The calling worker begins to wait out a backoff.
  void rest();
  void resume() noexcept { --resting_; }
  bool too_many() const noexcept { return workers_ - resting_ > wanted_; }

  /// Somebody works for the run beside the crew, which is not gone before that is over.
  void enlist() noexcept;
  void discharge();

 private:
  void add();
  boost::asio::awaitable<void> work();

  boost::asio::any_io_executor loop_;
  const std::size_t wanted_;
  const std::function<boost::asio::awaitable<void>()> work_;
  std::size_t workers_ = 0;
  std::size_t resting_ = 0;
  bool growing_ = true;
  wait_queue gone_;
};

}  // namespace sluice
