#pragma once

#include <cstdint>
#include <random>
#include <string>

#include "sluice/clock.hpp"
#include "sluice/error.hpp"

namespace sluice {

/// Decides whether a failed request is tried again, and after what time. Pure; not thread safe; one
/// object for each run.
class retry_policy {
 public:
  struct options {
    unsigned max_attempts = 5;
    duration base = std::chrono::seconds{1};
    duration cap = std::chrono::seconds{60};
    std::uint64_t seed = 1;
  };
  /// The history of one request; its worker stores it.
  struct history {
    unsigned charged = 0;                          ///< failures that used up an attempt
    unsigned refusals = 0;                         ///< 429s; they do not use up an attempt
    unsigned refusals_of_key = 0;                  ///< they do not use up an attempt either
    std::uint64_t successes_at_first_refusal = 0;  ///< of all requests
    std::string unreadable;  ///< message of the last complete reply that could not be parsed
  };
  struct decision {
    bool again = false;
    duration delay{};
    bool lasting = false;  ///< if not `again`: the same request would fail in the same way
  };

  /// A request fails after this number of 429s if other requests succeeded meanwhile.
  static constexpr unsigned max_refusals = 20;

  explicit retry_policy(const options& settings) : options_(settings), random_(settings.seed) {}

  /// What to do after a failed attempt. A request never fails because of the key: if the key's
  /// refusal is not confirmed, it is tried again until it succeeds or the run stops. `charge`: the
  /// failure counts against max_attempts. `successes`: number of successful requests of all runs.
  decision decide(history& past, const failure& why, bool charge, std::uint64_t successes);

  /// Exponential backoff with full jitter (Brooker, "Exponential Backoff and Jitter", 2015):
  /// uniform in [0, min(cap, base · 2^failures)].
  duration backoff(unsigned failures);
  /// A random time to add to the wait that a server asked for, so that clients do not all return at
  /// the same moment: uniform in [0, wait / 10], at most 3 s.
  duration spread(duration wait);

 private:
  options options_;
  std::mt19937_64 random_;
};

}  // namespace sluice
