#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "async/alarm.hpp"
#include "http/connection.hpp"
#include "sluice/clock.hpp"

namespace sluice {

/// Connections of one client that carry no exchange, kept for the next one. The clock closes those
/// that have been idle for too long, are too old to serve again, or were closed by the relay.
/// Belongs to the event loop's thread. A call of the clock is to come only while something is idle,
/// so that an event loop without anything to do ends.
class idle_connections {
 public:
  /// Longer than a window of the rate limit: where a whole window's starts go out at once, their
  /// connections are idle until the next one. Go's client keeps them as long (IdleConnTimeout of
  /// DefaultTransport, https://pkg.go.dev/net/http#RoundTripper). Many a server closes earlier:
  /// nginx after 75 s (keepalive_timeout,
  /// https://nginx.org/en/docs/http/ngx_http_core_module.html), an AWS load balancer after 60 s,
  /// Node after 5 s. So what has been closed is looked for, too.
  static constexpr duration longest = std::chrono::seconds{90};
  static constexpr duration look_interval = std::chrono::seconds{10};

  explicit idle_connections(clock& time) : time_(time), look_(time) {}
  idle_connections(const idle_connections&) = delete;
  idle_connections& operator=(const idle_connections&) = delete;

  /// `used`: its last reply was read to the end.
  void put(std::unique_ptr<connection> used);
  /// The one that was used last, of those that can serve again; null: there is none.
  std::unique_ptr<connection> take();
  /// Closes all.
  void clear();
  std::size_t size() const noexcept { return all_.size(); }

 private:
  struct idle {
    std::unique_ptr<connection> link;
    time_point until;
  };

  void look();
  void look_at(time_point when);

  clock& time_;
  std::vector<idle> all_;
  alarm look_;
  time_point next_look_{};
};

}  // namespace sluice
