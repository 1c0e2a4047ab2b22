#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "sluice/clock.hpp"

namespace sluice::server {

/// A histogram of times: the number of times in each class. Pure.
struct time_classes {
  /// The upper bounds of the classes, in seconds. The last class has no bound.
  static constexpr std::array<double, 12> bounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.1,
                                                 0.25,  1,      5,     15,   60,    300};

  std::array<std::uint64_t, bounds.size() + 1> at_most{};  ///< cumulative
  double sum_s = 0;

  void add(duration time);
};

/// Counts the answered requests of clients by route and status, and their times. Pure; not thread
/// safe: use it on the event loop's thread.
class request_counts {
 public:
  /// `route`: a route of the server, never a path of a client. `status`: 0 if the request was not
  /// answered.
  void add(std::string_view route, int status, duration took);

  /// The times of a route's answers, and the number of answers for each status.
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
