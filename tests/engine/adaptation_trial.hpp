// A run against a relay that serves less than it gets, in virtual time: how soon the engine finds
// what the relay can serve, and how much is refused from then on. Everything that varies comes from
// the seed.
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
  honest,    ///< Retry-After with the seconds until the limit has room, as the relay counts
  a_second,  ///< Retry-After: 1 on every refusal
};

/// A relay that limits the rate of starts, or refuses some at random, or both.
struct rate_trial {
  std::string name;
  std::function<admission(std::uint64_t seed)> admits;  ///< empty: the relay has no limit
  double serves = 60;  ///< a minute; in truth, of what is not refused at random
  int refuses_with = 429;
  retry_hint hints = retry_hint::none;
  duration head = std::chrono::milliseconds{300};  ///< the mean; it varies by a fifth
  double random_refusals = 0;                      ///< share of the starts
  unsigned limit = 200;                            ///< of the client; 0: none
};

/// A relay that lets everything in and answers late.
struct places_trial {
  std::string name;
  std::size_t places = 256;
  duration each = std::chrono::seconds{30};  ///< the mean time in a place; it varies by a fifth
  duration timeout = std::chrono::seconds{120};
  unsigned concurrency = 1000;
  /// From `trouble_at` on, for `trouble` long, what begins takes so many times as long; 0: it waits
  /// for the end of the trouble, as in a stall.
  duration trouble_at{};
  duration trouble{};
  int slower = 0;
};

struct trial_outcome {
  double minutes = 0;  ///< until the true rate is reached to stay; from the end of the trouble
  double refused = 0;  ///< share of the starts after the time allowed, random refusals left out
  double served = 0;   ///< share of the true rate after the time allowed
  std::string minute_by_minute;  ///< served/refused
};

trial_outcome play(const rate_trial& trial, std::uint64_t seed);
trial_outcome play(const places_trial& trial, std::uint64_t seed);

/// So soon the true rate is to be reached.
inline constexpr duration rate_allowed = std::chrono::minutes{5};
/// Or within ten answers, where they take longer.
duration places_allowed(const places_trial& trial);
inline constexpr double enough_served = 0.95;
inline constexpr double few_refused = 0.02;

bool passes(const rate_trial& trial, const trial_outcome& outcome);
bool passes(const places_trial& trial, const trial_outcome& outcome);

std::vector<rate_trial> rate_trials();
std::vector<places_trial> places_trials();

}  // namespace sluice::test
