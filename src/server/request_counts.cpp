#include "server/request_counts.hpp"

#include <chrono>

namespace sluice::server {

void request_counts::add(std::string_view route, int status, duration took) {
  ++by_status_[{std::string(route), status}];
  const double seconds = std::chrono::duration<double>(took).count();
  times& known = by_route_[std::string(route)];
  known.sum_s += seconds;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    if (seconds <= bounds.at(i)) ++known.at_most.at(i);
  }
  ++known.at_most.back();
}

}  // namespace sluice::server
