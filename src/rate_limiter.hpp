#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "limit_store.hpp"
#include "sluice/clock.hpp"
#include "sluice/config.hpp"

namespace sluice {

/// Keeps a key under its limit, in requests and in tokens a minute, as the relay's clock counts it.
///
/// The relay counts an attempt when it arrives, somewhere between the last byte sent and the head
/// of the reply. A log of send times is therefore not enough: attempts delayed by different amounts
/// can arrive closer together than they left. So a start takes one of N slots, and the slot is free
/// again only 60 s after the latest moment at which the attempt can have been counted: the arrival
/// of the head, or `margin` after the last byte was sent, whichever comes first. While it is taken,
/// the attempt may be inside the relay's window; when it is free, it cannot be. Hence at most N in
/// any 60 s. The slots are those of all processes that share the store.
///
/// Takes `now`, waits for nothing but other processes' holds of the store. Not thread safe.
class rate_limiter {
 public:
  /// The place that one start holds, until it is told to be done with. The generation tells a
  /// holder whose place has gone to another start meanwhile that it is no longer its own.
  struct slot {
    std::uint32_t index = 0;
    std::uint32_t generation = 0;
  };

  struct options {
    unsigned per_minute = 200;  ///< 0: no limit
    duration margin = std::chrono::seconds{1};
    pacing pace = pacing::burst;
    std::uint64_t tokens_per_minute = 0;  ///< 0: no limit
    limit_store* store = nullptr;         ///< null: one of this limiter alone
  };

  /// So soon a slot that another process gives back is seen, at the latest.
  static constexpr duration look_interval = std::chrono::milliseconds{250};

  explicit rate_limiter(const options& chosen);

  /// Takes a slot if one is free, the tokens fit, no pause is on, and the pace allows it.
  std::optional<slot> try_start(time_point now, std::uint64_t tokens = 0);
  /// The earliest moment at which try_start can succeed, by what is known now; time_point::max()
  /// when that hangs on an attempt whose last byte is not sent yet.
  time_point next_start(time_point now, std::uint64_t tokens = 0) const;
  /// When to ask again at the latest where the window is full: another process may free a slot
  /// sooner than is known. time_point::max() when no other uses the window. What dead processes
  /// left is found out here, so next_start may have another answer behind it.
  time_point look_again(time_point now);

  void sent(slot taken, time_point now);      ///< the last byte of the request has left
  void answered(slot taken, time_point now);  ///< the head of the reply has arrived
  void cancel(slot taken, time_point now);    ///< nothing was sent: the slot is free at once
  /// So many tokens it took in truth.
  void correct(slot taken, std::uint64_t tokens, time_point now);
  /// Nothing more will be told of it; its slot is freed when its time has come.
  void done(slot taken);

  /// At least so much time between two starts, beyond what the pace asks for; zero: none.
  void space(duration gap) noexcept { gap_ = std::max(gap, pace_gap_); }
  /// Nothing starts before `until`; a longer pause that is on stays.
  void pause(time_point until, time_point now);
  /// The end of the last pause, by whichever process.
  time_point paused_until(time_point now) const;

 private:
  struct place {
    limit_window::slot held;
    std::uint32_t generation = 0;
  };

  place* find(slot taken) noexcept;

  options options_;
  limit_window::caps caps_;
  std::unique_ptr<limit_store> own_store_;
  limit_store& store_;
  duration pace_gap_{};  // between two starts, as the pace asks for
  duration gap_{};       // the one in force
  std::vector<place> places_;
  std::vector<std::uint32_t> free_;
  time_point next_spaced_{};  // the earliest start, by the gap
  time_point next_burial_{};  // of processes that died
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
