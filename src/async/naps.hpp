#pragma once

#include <boost/asio/awaitable.hpp>
#include <list>

#include "sluice/clock.hpp"

namespace sluice {

/// Sleeps of coroutines on one event loop, all of which can be cut short at once. Belongs to the
/// event loop's thread.
///
/// A sleeper that is cancelled or destroyed leaves, and takes its call of the clock back. The
/// object may go before its sleepers: they sleep until they are cancelled or destroyed.
class naps {
 public:
  explicit naps(clock& clock) : clock_(clock) {}
  naps(const naps&) = delete;
  naps& operator=(const naps&) = delete;
  ~naps();

  /// Returns at `when`, or as soon as wake_all() is called. Throws operation_aborted if the
  /// coroutine is cancelled.
  boost::asio::awaitable<void> sleep_until(time_point when);

  /// Ends every sleep, those to come included.
  void wake_all();

 private:
  struct sleeper;

  clock& clock_;
  std::list<sleeper*> sleepers_;
  bool woken_ = false;
};

}  // namespace sluice
