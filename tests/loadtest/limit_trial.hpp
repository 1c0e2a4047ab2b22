// A search for the limit of a simulated relay, in virtual time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "loadtest/find_limit/limit_finder.hpp"

namespace sluice::bench::test {

using namespace std::chrono_literals;

/// The delays between client and relay, and the times that a relay needs to answer.
struct delays {
  duration to_relay_low = 5ms;
  duration to_relay_high = 5ms;
  duration answer_low = 100ms;  ///< from the relay's decision to the head of a reply
  duration answer_high = 100ms;
  duration refusal_low = 40ms;
  duration refusal_high = 40ms;
};

enum class hint : std::uint8_t { none, honest, always_60, always_1 };

/// A relay of the trials: its limit, its delays, and how it behaves.
struct relay_kind {
  std::string name;
  limit_kind kind = limit_kind::unclear;  ///< the truth; none_found: no limit
  double rpm = 0;
  unsigned burst = 0;  ///< of a bucket; 0: the same as the rate
  delays wire;
  hint hints = hint::none;
  bool refused_count = false;    ///< refused requests count, too
  unsigned other_a_minute = 0;   ///< requests of another client, at random times
  unsigned failing_percent = 0;  ///< share of accepted requests that fail with a 500
  unsigned max_requests = 2000;
  unsigned ceiling = 2000;
  unsigned concurrency = 64;
  bool can_be_told = true;  ///< nearly all trials can find the kind
  bool rate_can_be = true;  ///< nearly all trials can find the rate
};

struct trial_result {
  limit_finding found;
  double minutes = 0;  ///< virtual time
  unsigned most_in_60s = 0;
  bool waited = true;  ///< true: no start before the end of a Retry-After
};

trial_result try_find(const relay_kind& relay, std::uint64_t seed);

/// The kinds of relays in the test and in the trials.
std::vector<relay_kind> relay_kinds();

enum class judgement : std::uint8_t { right, wrong, unclear };
/// Judges only the kind of the limit.
judgement judge(const relay_kind& relay, const limit_finding& found);
/// Whether the found rpm differs from the truth by at most 2 %, or by at most 1.
bool close(const relay_kind& relay, const limit_finding& found);
/// Whether the true rate is within the found bounds.
bool bounded(const relay_kind& relay, const limit_finding& found);

}  // namespace sluice::bench::test
