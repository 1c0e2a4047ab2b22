#pragma once

#include <cstdint>
#include <random>
#include <string>

#include "sluice/clock.hpp"
#include "sluice/error.hpp"

namespace sluice {

/// How often one request is tried, and how long it waits in between. Pure; one object a run.
class retry_policy {
 public:
  struct options {
    unsigned max_attempts = 5;
    duration base = std::chrono::seconds{1};
    duration cap = std::chrono::seconds{60};
    std::uint64_t seed = 1;
  };
  /// The history of one request, kept by its worker.
  struct history {
    unsigned charged = 0;                          ///< failures that used up an attempt
    unsigned refusals = 0;                         ///< 429s, which do not
    unsigned refusals_of_key = 0;                  ///< which do not either
    std::uint64_t successes_at_first_refusal = 0;  ///< of all requests
    std::string unreadable;  ///< what was wrong with a whole reply that could not be read
  };
  struct decision {
    bool again = false;
    duration delay{};
    bool lasting = false;  ///< of the last one: the same request would meet it again
  };

  /// A request that was refused so often while others succeeded fails.
  static constexpr unsigned max_refusals = 20;

  explicit retry_policy(const options& chosen) : options_(chosen), random_(chosen.seed) {}

  /// What follows on a failed attempt. No request fails for the key: a refusal of it that is not
  /// confirmed is tried again, until the key is good or the run stops. `charge`: the failure counts
  /// against max_attempts. `successes`: of all requests so far, of whichever run.
  decision decide(history& past, const failure& why, bool charge, std::uint64_t successes);

  /// Exponential backoff with full jitter (Brooker, "Exponential Backoff and Jitter", 2015): even
  /// in [0, min(cap, base · 2^failures)].
  duration backoff(unsigned failures);
  /// A little time to add to a wait that a server asked for, so that those who were told the same
  /// do not come back at one moment: even in [0, wait / 10], 3 s at most.
  duration spread(duration wait);

 private:
  options options_;
  std::mt19937_64 random_;
};

}  // namespace sluice
