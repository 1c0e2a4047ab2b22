#include "async/steady_clock.hpp"

namespace sluice {

double steady_clock::unix_now() const noexcept {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

clock::timer steady_clock::call_at(time_point when, std::function<void()> callback) {
  const timer id = ++last_id_;
  calls_.emplace(std::pair{when, id}, std::move(callback));
  times_.emplace(id, when);
  arm();
  return id;
}

void steady_clock::cancel(timer id) noexcept {
  const auto found = times_.find(id);
  if (found == times_.end()) return;
  calls_.erase({found->second, id});
  times_.erase(found);
  // The timer stays set, even if it now expires for no call. Cancelling it each time would cost one
  // system call per request.
  if (calls_.empty()) {
    alarm_.cancel();
    armed_for_ = time_point::max();
  }
}

void steady_clock::arm() {
  if (calls_.empty()) return;
  const time_point first = calls_.begin()->first.first;
  if (first >= armed_for_) return;
  armed_for_ = first;
  alarm_.expires_at(first);
  alarm_.async_wait([this](boost::system::error_code error) {
    if (!error) ring();
  });
}

void steady_clock::ring() {
  armed_for_ = time_point::max();
  // Calls that are added by these calls run in a later turn of the event loop.
  const time_point due = now();
  while (!calls_.empty() && calls_.begin()->first.first <= due) {
    auto call = calls_.extract(calls_.begin());
    times_.erase(call.key().second);
    call.mapped()();
  }
  arm();
}

}  // namespace sluice
