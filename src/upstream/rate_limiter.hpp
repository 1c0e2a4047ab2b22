#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "sluice/clock.hpp"
#include "sluice/config.hpp"
#include "upstream/limit_store.hpp"

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
/// While another process keeps the store, nothing starts, and what is told of slots is kept until
/// the store can be had: until then it counts more than it must.
///
/// Takes `now`, waits for nothing. Not thread safe.
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
  /// when that hangs on an attempt whose last byte is not sent yet. While another process keeps the
  /// store: when to ask again.
  time_point next_start(time_point now, std::uint64_t tokens = 0);
  /// When to ask again at the latest where the window is full: another process may free a slot
  /// sooner than is known, or somebody move the file that they share. time_point::max() when the
  /// window is this process's own. What dead processes left is found out here, so next_start may
  /// have another answer behind it.
  time_point look_again(time_point now);

  void sent(slot taken, time_point now);      ///< the last byte of the request has left
  void answered(slot taken, time_point now);  ///< the head of the reply has arrived
  void cancel(slot taken, time_point now);    ///< nothing was sent: the slot is free at once
  /// Its actual count of tokens.
  void correct(slot taken, std::uint64_t tokens, time_point now);
  /// Nothing more will be told of it; its slot is freed when its time has come.
  void done(slot taken);

  /// At least so much time between two starts, beyond what the pace asks for; zero: none.
  void space(duration gap) noexcept { gap_ = std::max(gap, pace_gap_); }
  /// Nothing starts before `until`; a longer pause that is on stays.
  void pause(time_point until, time_point now);
  /// The end of the last pause, by whichever process.
  time_point paused_until(time_point now);

  /// Whether another process keeps the store.
  bool is_held_up() const noexcept { return store_.held_up_until().has_value(); }
  /// Whether the store has not heard of all that was told.
  bool is_behind() const noexcept { return !untold_.empty(); }
  /// When to call catch_up(); time_point::max(): not behind.
  time_point behind_until(time_point now) const noexcept;
  /// Tells the store what it could not be told before.
  void catch_up(time_point now);

 private:
  struct place {
    limit_window::slot held;
    std::uint32_t generation = 0;
  };

  // What is told of a slot, or of the key.
  struct news {
    enum class kind : std::uint8_t { sent, answered, cancelled, corrected, done, paused };
    kind what = kind::sent;
    slot taken{};
    time_point at{};  // when it happened; of a pause, its end
    std::uint64_t tokens = 0;
  };

  template <typename Use>
  bool use_store(time_point now, Use use);
  void carry_over(const limit_store::hold& window);
  void tell(const news& told, time_point now);
  void apply(const news& told, const limit_store::hold& window);
  place* find(slot taken) noexcept;
  void release(place& one, slot taken);
  time_point retry_at(time_point now) const noexcept;

  options options_;
  limit_window::caps caps_;
  std::unique_ptr<limit_store> own_store_;
  limit_store& store_;
  duration pace_gap_{};  // between two starts, as the pace asks for
  duration gap_{};       // the one in force
  std::vector<place> places_;
  std::vector<std::uint32_t> free_;
  time_point next_spaced_{};      // the earliest start, by the gap
  time_point next_release_{};     // of processes that died
  std::uint64_t generation_ = 0;  // of the store's table that the places are counted in
  std::deque<news> untold_;       // that the store has not heard of
  time_point last_pause_{};       // that is known of
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
