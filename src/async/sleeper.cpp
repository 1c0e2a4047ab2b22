#include "async/sleeper.hpp"

#include <boost/asio/this_coro.hpp>

#include "async/alarm.hpp"
#include "async/parking.hpp"

namespace sluice {

// Lives in the frame of its coroutine.
struct sleeper::sleep {
  sleep(sleeper& sleeps_in, const boost::asio::any_io_executor& loop, time_point until)
      : in(&sleeps_in), parked(loop), rings(in->clock_) {
    rings.set(until, [this] { parked.wake(); });
    place = in->sleeps_.insert(in->sleeps_.end(), this);
  }
  sleep(const sleep&) = delete;
  sleep& operator=(const sleep&) = delete;
  ~sleep() {
    if (in != nullptr) in->sleeps_.erase(place);
  }

  sleeper* in;  // null once that is gone
  parking parked;
  alarm rings;
  std::list<sleep*>::iterator place;
};

sleeper::~sleeper() {
  for (sleep* each : sleeps_) {
    each->in = nullptr;
    each->rings.cancel();  // the clock may go next
  }
}

boost::asio::awaitable<void> sleeper::sleep_until(time_point when) {
  if (woken_) co_return;
  sleep here(*this, co_await boost::asio::this_coro::executor, when);
  co_await here.parked.wait();
}

void sleeper::wake_all() {
  woken_ = true;
  for (sleep* each : sleeps_) each->parked.wake();
}

}  // namespace sluice
