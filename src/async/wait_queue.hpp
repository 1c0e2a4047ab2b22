#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <list>

namespace sluice {

/// A line in which coroutines of one event loop wait to be woken, first come first served. Belongs
/// to the event loop's thread.
///
/// A waiter that is cancelled or destroyed leaves the line. If it had been woken by wake_one() and
/// has not gone on yet, it hands the wake-up on to the next. The line may go before its waiters:
/// those that it has woken go on, and the rest wait until they are cancelled or destroyed.
class wait_queue {
 public:
  wait_queue() = default;
  wait_queue(const wait_queue&) = delete;
  wait_queue& operator=(const wait_queue&) = delete;
  ~wait_queue();

  /// Returns once it is woken; throws operation_aborted if the coroutine is cancelled. `first`: at
  /// the head of the line, where one who was woken in vain belongs.
  boost::asio::awaitable<void> wait(bool first = false);
  /// The same in two lines: whichever wakes it, it leaves both.
  static boost::asio::awaitable<void> wait_in_both(wait_queue& one, wait_queue& other);

  void wake_one();
  /// All who wait now.
  void wake_all();
  /// How many wait; who was woken no longer does.
  std::size_t size() const noexcept { return line_.size(); }

 private:
  class place;

  std::list<place*> line_;
  std::list<place*> woken_;  // and have not gone on yet
};

}  // namespace sluice
