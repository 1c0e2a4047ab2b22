#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <list>

namespace sluice {

/// A queue in which coroutines of one event loop wait to be woken, first come, first served. Not
/// thread safe: use it on the event loop's thread.
///
/// A waiter that is cancelled or destroyed leaves the queue. If wake_one() had already woken it but
/// it had not resumed yet, the next waiter is woken instead. The queue may be destroyed before its
/// waiters: those already woken resume, the others wait until they are cancelled or destroyed.
class wait_queue {
 public:
  wait_queue() = default;
  wait_queue(const wait_queue&) = delete;
  wait_queue& operator=(const wait_queue&) = delete;
  ~wait_queue();

  /// Returns when woken; throws operation_aborted if the coroutine is cancelled. `first`: wait at
  /// the head of the queue; for a waiter that was woken but could not proceed.
  boost::asio::awaitable<void> wait(bool first = false);
  /// Waits in two queues at once, until either wakes it.
  static boost::asio::awaitable<void> wait_in_both(wait_queue& one, wait_queue& other);

  void wake_one();
  /// Wakes all coroutines that wait now.
  void wake_all();
  /// Number of waiters that have not been woken.
  std::size_t size() const noexcept { return line_.size(); }

 private:
  class place;

  std::list<place*> line_;
  std::list<place*> woken_;  // woken, but not resumed yet
};

}  // namespace sluice
