#include "server/request_counts.hpp"

#include <chrono>

namespace sluice::server {

void time_classes::add(duration time) {
  const double seconds = std::chrono::duration<double>(time).count();
  sum_s += seconds;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    if (seconds <= bounds.at(i)) ++at_most.at(i);
  }
  ++at_most.back();
}

void request_counts::add(std::string_view route, int status, duration took) {
  ++by_status_[{std::string(route), status}];
  by_route_[std::string(route)].add(took);
}

}  // namespace sluice::server
