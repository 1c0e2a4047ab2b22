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

/// What stands between client and relay, and how a relay answers.
struct delays {
  duration to_relay_low = 5ms;
  duration to_relay_high = 5ms;
  duration answer_low = 100ms;  ///< from the relay's decision to the head of a reply
  duration answer_high = 100ms;
  duration refusal_low = 40ms;
  duration refusal_high = 40ms;
};

enum class hint : std::uint8_t { none, honest, always_60, always_1 };

/// A relay of the trials: its limit, its delays, its manners.
struct relay_kind {
  std::string name;
  limit_kind kind = limit_kind::unclear;  ///< the truth; none_found: no limit
  double rpm = 0;
  unsigned burst = 0;  ///< of a bucket, where it is not the rate
  delays wire;
  hint hints = hint::none;
  bool refused_count = false;    ///< in a log of all that came
  unsigned other_a_minute = 0;   ///< of another client, at random times
  unsigned failing_percent = 0;  ///< of those let through, with a 500
  unsigned max_requests = 2000;
  unsigned ceiling = 2000;
  unsigned concurrency = 64;
  bool can_be_told = true;  ///< the kind, in nearly all trials
  bool rate_can_be = true;  ///< and the rate
};

struct trial_result {
  limit_finding found;
  double minutes = 0;  ///< virtual
  unsigned most_in_60s = 0;
  bool waited = true;  ///< no start before a Retry-After had passed
};

trial_result try_find(const relay_kind& relay, std::uint64_t seed);

/// The kinds that the test and the trials go through.
std::vector<relay_kind> relay_kinds();

enum class judgement : std::uint8_t { right, wrong, unclear };
/// Of the kind alone.
judgement judge(const relay_kind& relay, const limit_finding& found);
/// Its rpm is within 2 % of the truth, or 1.
bool close(const relay_kind& relay, const limit_finding& found);
/// The truth is within its bounds.
bool bounded(const relay_kind& relay, const limit_finding& found);

}  // namespace sluice::bench::test
