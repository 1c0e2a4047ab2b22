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
#include "sluice/wait_cause.hpp"
#include "upstream/limit_store.hpp"
#include "upstream/shared_limit.hpp"

namespace sluice {

/// Keeps a key under its limit, in requests and tokens per minute, as the relay counts them. Not
/// thread safe. Takes `now` and never waits.
///
/// The relay counts an attempt when it arrives: at some time between the last byte of the request
/// and the head of the reply. A log of send times is therefore not enough: attempts with different
/// delays can arrive closer together than they were sent. So a start takes one of N slots, and the
/// slot is free again 60 s after the latest moment at which the relay can have counted the attempt:
/// the arrival of the head, or `margin` after the last byte was sent, whichever comes first. While
/// the slot is taken, the attempt may be in the relay's window; when it is free, it cannot be. So
/// the relay counts at most N attempts in any 60 s. All processes that share the store share the
/// slots.
///
/// While another process has the lock of the store, nothing starts, and events of slots are queued
/// until the store is available. Until then the window counts too much, never too little.
class rate_limiter {
 public:
  /// The place of one start, valid until done(). The generation shows whether the place was given
  /// to another start since.
  struct slot {
    std::uint32_t index = 0;
    std::uint32_t generation = 0;
  };

  struct options {
    unsigned per_minute = 200;  ///< 0: no limit
    duration margin = std::chrono::seconds{1};
    pacing pace = pacing::burst;
    std::uint64_t tokens_per_minute = 0;  ///< 0: no limit
    limit_store* store = nullptr;         ///< null: a private one
    shared_limit* shared = nullptr;  ///< limit that several machines share, in addition; null: none
  };

  /// The longest time until a slot that another process frees is noticed.
  static constexpr duration look_interval = std::chrono::milliseconds{250};

  explicit rate_limiter(const options& settings);

  /// Takes a slot if one is free, the tokens fit, there is no pause, and the pacing allows it.
  /// `spare`: number of further slots that must stay free, but at most all other slots of the
  /// limit.
  std::optional<slot> try_start(time_point now, std::uint64_t tokens = 0, unsigned spare = 0);
  /// The earliest moment at which try_start() can succeed, as far as is known now;
  /// time_point::max() if that depends on an attempt whose last byte is not sent yet. While another
  /// process has the lock of the store: when to call again.
  time_point next_start(time_point now, std::uint64_t tokens = 0, unsigned spare = 0);
  /// While the window is full: the latest time to call next_start() again. Another process may free
  /// a slot earlier than expected, or the shared file may be moved. time_point::max() if the window
  /// is not shared. Also releases slots of dead processes, which may change next_start().
  time_point look_again(time_point now);

  /// Whether the start may still be sent.
  bool may_send(slot handle, time_point now);
  void sent(slot handle, time_point now);      ///< the last byte of the request was sent
  void answered(slot handle, time_point now);  ///< the head of the reply arrived
  void cancel(slot handle, time_point now);    ///< nothing was sent: the slot is free at once
  /// Actual token count; corrects the reservation.
  void correct(slot handle, std::uint64_t tokens, time_point now);
  /// The handle is not used any more. The slot is freed when its 60 s are over.
  void done(slot handle);

  /// Sets other limits; 0: none. Starts that were taken before still count.
  void set_limits(unsigned per_minute, std::uint64_t tokens_per_minute, time_point now);
  /// Sets a minimum time between two starts; zero: only what the pacing needs.
  void space(duration gap) noexcept {
    spaced_ = gap;
    gap_ = std::max(gap, pace_gap_);
  }
  /// Nothing starts before `until`, or before the end of a longer pause.
  void pause(time_point until, time_point now);
  /// The end of the last pause that any process began.
  time_point paused_until(time_point now);
  /// Like pause(), but only for this process. Other and later processes try the relay on their own.
  void rest(time_point until) noexcept { rest_until_ = std::max(rest_until_, until); }
  /// The end of a pause that another process began, as of the last access to the store. nullopt: no
  /// such pause is longer than the pauses of this process.
  std::optional<time_point> others_pause(time_point now) const noexcept;
  /// The same for the last pause, even if it is over.
  std::optional<time_point> others_last_pause(time_point now);

  /// What the next start of `tokens` waits for.
  struct wait {
    wait_cause why = wait_cause::none;
    time_point until{};  ///< as in next_start()
  };
  wait next_wait(time_point now, std::uint64_t tokens = 0, unsigned spare = 0);
  /// Starts of other and earlier processes that still count for the limit.
  std::uint64_t starts_of_others(time_point now);

  /// Whether the store knows that the request was sent, so that another sent() changes nothing.
  bool was_sent(slot handle) noexcept {
    const place* one = find(handle);
    return one != nullptr && one->start.step != limit_window::slot::unsent;
  }
  /// Whether correct() may change anything; false: tokens are not limited.
  bool counts_tokens() const noexcept { return caps_.tokens != 0 || options_.shared != nullptr; }
  /// Whether another process has the lock of the store.
  bool is_held_up() const noexcept { return store_.held_up_until().has_value(); }
  /// Whether there are events that could not be passed to the store yet.
  bool is_behind() const noexcept { return !pending_.empty(); }
  /// When to call catch_up(); time_point::max(): not behind.
  time_point behind_until(time_point now) const noexcept;
  /// Passes the pending events to the store.
  void catch_up(time_point now);

 private:
  struct place {
    limit_window::slot start;
    shared_limit::ticket ticket = 0;  // in the shared limit
    std::uint32_t generation = 0;
  };

  // An event of a slot, or of the key.
  struct event {
    enum class kind : std::uint8_t { sent, answered, cancelled, corrected, done, paused };
    kind what = kind::sent;
    slot handle{};
    time_point at{};  // when it happened; for a pause, its end
    std::uint64_t tokens = 0;
  };

  limit_window::caps caps_with(unsigned spare) const noexcept;
  template <typename Use>
  bool use_store(time_point now, Use use);
  void carry_over(const limit_store::hold& window);
  void report(const event& change, time_point now);
  void apply(const event& change, const limit_store::hold& window);
  bool others_paused_last() const noexcept;
  slot put(const limit_window::slot& start);
  place* find(slot handle) noexcept;
  void let_go(slot handle);
  void release(place& one, slot handle);
  time_point retry_at(time_point now) const noexcept;

  options options_;
  limit_window::caps caps_;
  std::unique_ptr<limit_store> own_store_;
  limit_store& store_;
  duration pace_gap_{};  // minimum time between two starts for even pacing
  duration spaced_{};    // the minimum time that space() has set
  duration gap_{};       // the minimum time that applies now
  std::vector<place> places_;
  std::vector<std::uint32_t> free_;
  time_point next_spaced_{};      // the earliest next start because of the gap
  time_point next_release_{};     // when to look for dead processes again
  std::uint64_t generation_ = 0;  // generation of the store's table in which the places are counted
  std::deque<event> pending_;     // not passed to the store yet
  time_point last_pause_{};       // end of the last known pause
  time_point own_pause_{};        // end of the last pause that this process began
  time_point rest_until_{};
  // Starts of this process that are done and may still count, oldest first.
  std::deque<limit_window::slot> done_;
};

/// Counts the starts of the last 60 s, and the largest number in any 60 s, for totals and progress.
/// Pure; not thread safe. It counts in steps of 10 ms, so that its size does not depend on the
/// rate.
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
