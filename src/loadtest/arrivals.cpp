#include "loadtest/arrivals.hpp"

namespace sluice::bench {

arrivals::arrivals(double per_minute, arrival_kind kind, std::uint64_t seed)
    : mean_s_(60 / per_minute), kind_(kind), random_(seed) {}

duration arrivals::next() {
  double at_s = 0;
  if (kind_ == arrival_kind::even) {
    at_s = static_cast<double>(given_++) * mean_s_;
  } else {
    at_s = last_s_ += std::exponential_distribution<double>(1 / mean_s_)(random_);
  }
  return std::chrono::duration_cast<duration>(std::chrono::duration<double>(at_s));
}

}  // namespace sluice::bench
