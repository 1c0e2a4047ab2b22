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
  auto found = by_route_.find(route);
  if (found == by_route_.end()) found = by_route_.try_emplace(std::string(route)).first;
  found->second.add(took);
  ++found->second.by_status[status];
}

}  // namespace sluice::server
