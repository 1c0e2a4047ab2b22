#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "async/alarm.hpp"
#include "base/machine_sleep.hpp"
#include "http/connection.hpp"
#include "sluice/clock.hpp"

namespace sluice {

/// Idle connections of one client, to be reused. Not thread safe: use it on the event loop's
/// thread. Regularly closes connections that have been idle for too long, are too old, or were
/// closed by the relay. After the machine has slept, all are closed: the relay or a router on the
/// way has forgotten them, and could not say so. There is a pending call of the clock only while a
/// connection is idle, so that the event loop can end.
class idle_connections {
 public:
  /// Longer than the window of the rate limit: if all starts of a window are sent at once, their
  /// connections are idle until the next window. Go's client uses the same time (IdleConnTimeout of
  /// DefaultTransport, https://pkg.go.dev/net/http#RoundTripper). Many servers close earlier: nginx
  /// after 75 s (keepalive_timeout, https://nginx.org/en/docs/http/ngx_http_core_module.html), an
  /// AWS load balancer after 60 s, Node after 5 s. So connections are also checked regularly.
  static constexpr duration longest = std::chrono::seconds{90};
  static constexpr duration look_interval = std::chrono::seconds{10};

  /// As machine_slept().
  using sleep_meter =
      std::function<std::chrono::nanoseconds(std::chrono::nanoseconds known, time_point steady)>;
  /// Connections survive a shorter sleep.
  static constexpr duration longest_sleep = std::chrono::seconds{5};

  explicit idle_connections(clock& time, sleep_meter slept = machine_slept)
      : time_(time), sleep_meter_(std::move(slept)), look_(time) {}
  idle_connections(const idle_connections&) = delete;
  idle_connections& operator=(const idle_connections&) = delete;

  /// Adds a connection whose last reply was read to the end.
  void put(std::unique_ptr<connection> link);
  /// The most recently used connection that can be reused; null: none.
  std::unique_ptr<connection> take();
  /// Closes all.
  void clear();
  std::size_t size() const noexcept { return all_.size(); }

 private:
  struct idle {
    std::unique_ptr<connection> link;
    time_point until;
  };

  void drop_after_sleep(time_point now);
  void look();
  void look_at(time_point when);

  clock& time_;
  sleep_meter sleep_meter_;
  std::chrono::nanoseconds slept_{};  // when a connection was put here or taken last
  std::vector<idle> all_;
  alarm look_;
  time_point next_look_{};
};

}  // namespace sluice
