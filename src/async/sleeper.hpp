#pragma once

#include <boost/asio/awaitable.hpp>
#include <list>

#include "sluice/clock.hpp"

namespace sluice {

/// Lets coroutines sleep, and can wake all of them at once. Not thread safe: use it on the event
/// loop's thread.
///
/// A coroutine that is cancelled or destroyed also cancels its call of the clock. The sleeper may
/// be destroyed first; its coroutines then sleep until they are cancelled or destroyed.
class sleeper {
 public:
  explicit sleeper(clock& clock) : clock_(clock) {}
  sleeper(const sleeper&) = delete;
  sleeper& operator=(const sleeper&) = delete;
  ~sleeper();

  /// Returns at `when`, or as soon as wake_all() is called. Throws operation_aborted if the
  /// coroutine is cancelled.
  boost::asio::awaitable<void> sleep_until(time_point when);

  /// Ends every sleep now. Later sleeps end at once.
  void wake_all();

 private:
  struct sleep;

  clock& clock_;
  std::list<sleep*> sleeps_;
  bool woken_ = false;
};

}  // namespace sluice
