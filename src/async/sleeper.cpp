#include "async/sleeper.hpp"

#include <boost/asio/this_coro.hpp>

#include "async/alarm.hpp"
#include "async/parking.hpp"

namespace sluice {

// Lives in the frame of its coroutine.
struct sleeper::sleep {
  sleep(sleeper& owning_sleeper, const boost::asio::any_io_executor& loop, time_point until)
      : owner(&owning_sleeper), waiter(loop), wake_up(owner->clock_) {
    wake_up.set(until, [this] { waiter.wake(); });
    place = owner->sleeps_.insert(owner->sleeps_.end(), this);
  }
  sleep(const sleep&) = delete;
  sleep& operator=(const sleep&) = delete;
  ~sleep() {
    if (owner != nullptr) owner->sleeps_.erase(place);
  }

  sleeper* owner;  // null after the sleeper is destroyed
  parking waiter;
  alarm wake_up;
  std::list<sleep*>::iterator place;
};

sleeper::~sleeper() {
  for (sleep* each : sleeps_) {
    each->owner = nullptr;
    each->wake_up.cancel();  // the clock may be destroyed next
  }
}

boost::asio::awaitable<void> sleeper::sleep_until(time_point when) {
  if (woken_) co_return;
  sleep here(*this, co_await boost::asio::this_coro::executor, when);
  co_await here.waiter.wait();
}

void sleeper::wake_all() {
  woken_ = true;
  for (sleep* each : sleeps_) each->waiter.wake();
}

}  // namespace sluice
