#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>

#include "sluice/clock.hpp"

namespace sluice {

/// The clock of real runs. Thread safety as in `clock`. One timer of the event loop serves all
/// pending calls.
class steady_clock final : public clock {
 public:
  explicit steady_clock(boost::asio::io_context& context) : alarm_(context) {}

  time_point now() const noexcept override { return std::chrono::steady_clock::now(); }
  double unix_now() const noexcept override;
  timer call_at(time_point when, std::function<void()> callback) override;
  void cancel(timer id) noexcept override;

 private:
  void arm();
  void ring();

  boost::asio::steady_timer alarm_;
  time_point armed_for_ = time_point::max();
  timer last_id_ = 0;
  std::map<std::pair<time_point, timer>, std::function<void()>> calls_;
  std::map<timer, time_point> times_;
};

}  // namespace sluice
