#include "loadtest/load.hpp"

#include <fmt/format.h>

namespace sluice::bench {

std::string name_of(const load& named) {
  if (!named.open()) return fmt::format("{} in flight", named.concurrency);
  return fmt::format("{:.6g} a minute{}", named.rate,
                     named.arrivals == arrival_kind::poisson ? ", Poisson" : "");
}

}  // namespace sluice::bench
