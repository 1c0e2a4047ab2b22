#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "sluice/clock.hpp"
#include "sluice/config.hpp"

namespace sluice {

/// Keeps a key under its requests-per-minute limit as the relay's clock counts it.
///
/// The relay counts an attempt when it arrives, somewhere between the last byte sent and the head
/// of the reply. A log of send times is therefore not enough: attempts delayed by different amounts
/// can arrive closer together than they left. So a start takes one of N slots, and the slot is free
/// again only 60 s after the latest moment at which the attempt can have been counted: the arrival
/// of the head, or `margin` after the last byte was sent, whichever comes first. While it is taken,
/// the attempt may be inside the relay's window; when it is free, it cannot be. Hence at most N in
/// any 60 s.
///
/// Pure: takes `now`, waits for nothing. Not thread safe.
class rate_limiter {
 public:
  /// A place in the window that one start holds. The generation tells a holder whose slot has gone
  /// to another start meanwhile (a reply may take longer than the window) that it is no longer its
  /// own.
  struct slot {
    std::uint32_t index = 0;
    std::uint32_t generation = 0;
  };

  struct options {
    unsigned per_minute = 200;  ///< 0: no limit
    duration margin = std::chrono::seconds{1};
    pacing pace = pacing::burst;
  };

  explicit rate_limiter(const options& chosen);

  /// Takes a slot if one is free, no pause is on, and the pace allows it.
  std::optional<slot> try_start(time_point now);
  /// The earliest moment at which try_start can succeed, by what is known now; time_point::max()
  /// when that hangs on an attempt whose last byte is not sent yet.
  time_point next_start(time_point now) const;

  void sent(slot taken, time_point now);      ///< the last byte of the request has left
  void answered(slot taken, time_point now);  ///< the head of the reply has arrived
  void cancel(slot taken);                    ///< nothing was sent: the slot is free at once

  /// At least so much time between two starts, beyond what the pace asks for; zero: none.
  void space(duration gap) noexcept { gap_ = std::max(gap, pace_gap_); }
  /// Nothing starts before `until`; a longer pause that is on stays.
  void pause(time_point until);
  time_point paused_until() const noexcept { return paused_until_; }

 private:
  void release_due(time_point now);
  void free_at(slot taken, time_point when);

  options options_;
  duration pace_gap_{};  // between two starts, as the pace asks for
  duration gap_{};       // the one in force
  struct place {
    time_point release = time_point::max();  // max(): not sent yet
    std::uint32_t generation = 0;
  };
  std::vector<place> places_;
  std::vector<std::uint32_t> free_;
  std::set<std::pair<time_point, std::uint32_t>> taken_;  // by the time they get free
  time_point paused_until_{};
  time_point next_spaced_{};  // the earliest start, by the gap
};

/// The most starts in any 60 s and the starts of the last 60 s, for totals and progress. Counted in
/// steps of 10 ms, so that its size does not depend on the rate. Pure; not thread safe.
class start_meter {
 public:
  start_meter();
  void count(time_point now);
  std::uint64_t last_minute(time_point now);
  std::uint64_t most() const noexcept { return most_; }

 private:
  void advance(time_point now);

  std::vector<std::uint32_t> steps_;
  std::int64_t current_ = -1;
  std::uint64_t sum_ = 0;
  std::uint64_t most_ = 0;
};

}  // namespace sluice
