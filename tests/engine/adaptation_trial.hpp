// Trials of runs against a relay that serves fewer requests than it gets, in virtual time. They
// measure how soon the engine finds the rate of the relay, and how many requests are refused after
// that. All randomness comes from the seed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "support/relay_models.hpp"

namespace sluice::test {

enum class retry_hint : std::uint8_t {
  none,
  honest,    ///< Retry-After with the correct number of seconds
  a_second,  ///< Retry-After: 1 on every refusal
};

/// A relay that limits the rate of starts, or refuses some at random, or both.
struct rate_trial {
  std::string name;
  std::function<admission(std::uint64_t seed)> admits;  ///< empty: the relay has no limit
  double serves = 60;  ///< true rate per minute, without random refusals
  int refuses_with = 429;
  retry_hint hints = retry_hint::none;
  duration head = std::chrono::milliseconds{300};  ///< mean; varies by 20 %
  double random_refusals = 0;                      ///< share of the starts
  unsigned limit = 200;                            ///< limit of the client; 0: none
};

/// A relay that accepts everything and answers late.
struct places_trial {
  std::string name;
  std::size_t places = 256;
  duration each = std::chrono::seconds{30};  ///< mean time of a request in a place; varies by 20 %
  duration timeout = std::chrono::seconds{120};
  unsigned concurrency = 1000;
  /// From `trouble_at` on, for the time `trouble`, requests take `slower` times as long. If
  /// `slower` is 0, requests wait until the trouble is over, as in a stall.
  duration trouble_at{};
  duration trouble{};
  int slower = 0;
};

struct trial_outcome {
  double minutes = 0;  ///< until the true rate is reached for good; from the end of the trouble
  double refused = 0;  ///< share of the starts after the allowed time, without random refusals
  double served = 0;   ///< share of the true rate after the allowed time
  std::string minute_by_minute;  ///< served/refused
};

trial_outcome play(const rate_trial& trial, std::uint64_t seed);
trial_outcome play(const places_trial& trial, std::uint64_t seed);

/// The true rate must be reached within this time.
inline constexpr duration rate_allowed = std::chrono::minutes{5};
/// The same for places_trial: two minutes, or the time of ten answers if that is longer.
duration places_allowed(const places_trial& trial);
inline constexpr double enough_served = 0.95;
inline constexpr double few_refused = 0.02;

bool passes(const rate_trial& trial, const trial_outcome& outcome);
bool passes(const places_trial& trial, const trial_outcome& outcome);

std::vector<rate_trial> rate_trials();
std::vector<places_trial> places_trials();

}  // namespace sluice::test
