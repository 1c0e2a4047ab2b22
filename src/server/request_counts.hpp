#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "sluice/clock.hpp"

namespace sluice::server {

/// How many of some times fall into each class, as a histogram of metrics has it. Pure.
struct time_classes {
  /// The upper bounds of the classes, in seconds; the last class has none.
  static constexpr std::array<double, 12> bounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.1,
                                                 0.25,  1,      5,     15,   60,    300};

  std::array<std::uint64_t, bounds.size() + 1> at_most{};  ///< cumulated
  double sum_s = 0;

  void add(duration time);
};

/// The requests of clients that were answered, by route and status, and how long they took. Pure;
/// not thread safe: use it on the event loop's thread.
class request_counts {
 public:
  /// `route`: one of the server's own, never a path of a client. `status` 0: it was not answered.
  void add(std::string_view route, int status, duration took);

  /// How long the answers of a route took, and how many there were of each status.
  struct route_counts : time_classes {
    std::map<int, std::uint64_t> by_status;
  };
  const std::map<std::string, route_counts, std::less<>>& by_route() const noexcept {
    return by_route_;
  }

 private:
  std::map<std::string, route_counts, std::less<>> by_route_;
};

}  // namespace sluice::server
