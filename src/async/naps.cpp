#include "async/naps.hpp"

#include <boost/asio/this_coro.hpp>

#include "async/alarm.hpp"
#include "async/parking.hpp"

namespace sluice {

// Lives in the frame of its coroutine.
struct naps::sleeper {
  sleeper(naps& sleeps_in, const boost::asio::any_io_executor& loop, time_point until)
      : in(&sleeps_in), parked(loop), rings(in->clock_) {
    rings.set(until, [this] { parked.wake(); });
    place = in->sleepers_.insert(in->sleepers_.end(), this);
  }
  sleeper(const sleeper&) = delete;
  sleeper& operator=(const sleeper&) = delete;
  ~sleeper() {
    if (in != nullptr) in->sleepers_.erase(place);
  }

  naps* in;  // null once that is gone
  parking parked;
  alarm rings;
  std::list<sleeper*>::iterator place;
};

naps::~naps() {
  for (sleeper* each : sleepers_) {
    each->in = nullptr;
    each->rings.cancel();  // the clock may go next
  }
}

boost::asio::awaitable<void> naps::sleep_until(time_point when) {
  if (woken_) co_return;
  sleeper here(*this, co_await boost::asio::this_coro::executor, when);
  co_await here.parked.wait();
}

void naps::wake_all() {
  woken_ = true;
  for (sleeper* each : sleepers_) each->parked.wake();
}

}  // namespace sluice
