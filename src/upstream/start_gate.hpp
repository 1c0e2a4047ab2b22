#pragma once

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "async/wait_queue.hpp"
#include "sluice/clock.hpp"
#include "upstream/joint_starts.hpp"
#include "upstream/rate_limiter.hpp"

namespace sluice {

/// The queue in which every attempt waits for permission to start: for a place below the
/// concurrency limit and a slot in a relay's window. Not thread safe: use it on the event loop's
/// thread.
///
/// Urgent attempts, for which a person waits, start before all others. Apart from that, attempts
/// start in the order in which they came, so every run, job and retry gets its turn. Each relay is
/// a lane; an attempt goes to a lane with room, in proportion to the lanes' weights. A waiter that
/// is destroyed or cancelled leaves the queue. The gate must outlive all waiters.
class start_gate {
 public:
  enum class urgency : std::uint8_t { urgent, usual };

  /// The attempts of one run, which are counted and closed together. It must outlive its attempts,
  /// and the gate must outlive it.
  class group {
   public:
    /// The group is open at first.
    explicit group(start_gate& at, urgency how = urgency::usual) : gate_(at), urgency_(how) {
      gate_.open(*this);
    }
    group(const group&) = delete;
    group& operator=(const group&) = delete;
    ~group() { gate_.close(*this); }

   private:
    friend class start_gate;
    start_gate& gate_;
    const urgency urgency_;
    start_meter meter_;
    std::size_t in_flight_ = 0;
    std::size_t waiting_ = 0;
    bool closed_ = true;
  };

  /// Permission for one attempt.
  struct permit {
    rate_limiter::slot slot;
    std::size_t lane = 0;
    bool trial = false;      ///< the lane was limited to one attempt at a time
    std::size_t beside = 0;  ///< number of other attempts in flight in the lane
    bool spread = false;     ///< starts in the lane were evenly spread
    bool held = false;       ///< the queue waited for the limit, the pacing or a pause before it
    group* of = nullptr;     ///< the group of the attempt
  };

  /// The gate's settings of one relay.
  struct lane_options {
    std::size_t window = 0;  ///< index of its window; relays with the same key share one
    unsigned weight = 1;
  };

  /// Estimates the tokens of an attempt; called when it may start. Empty: 0 tokens.
  using token_count = std::function<std::uint64_t()>;

  /// A snapshot for progress output.
  struct status {
    std::size_t in_flight = 0;
    std::size_t waiting = 0;
    std::uint64_t started_last_minute = 0;
    std::uint64_t most_in_a_minute = 0;
    std::optional<time_point> next_start;  ///< set while attempts wait for the limit or a pause
    wait_cause cause = wait_cause::none;   ///< what they wait for, if next_start is set
    std::size_t lane = 0;                  ///< the lane that may start first then
    bool by_others = false;                ///< another process began the pause
    bool full = false;                     ///< attempts wait because of a concurrency limit
    bool lanes_full = false;  ///< attempts wait because of the lanes' own concurrency limits
  };

  /// A gate with one lane.
  start_gate(clock& clock, const rate_limiter::options& limit, std::size_t concurrency);
  start_gate(clock& clock, const std::vector<rate_limiter::options>& windows,
             const std::vector<lane_options>& lanes, std::size_t concurrency);
  ~start_gate();
  start_gate(const start_gate&) = delete;
  start_gate& operator=(const start_gate&) = delete;

  /// Waits until an attempt with `tokens` may start; nullopt if the group is closed. The lane
  /// `avoided` is used only if no other lane has room.
  boost::asio::awaitable<std::optional<permit>> enter(
      group& of, std::optional<std::size_t> avoided = std::nullopt, token_count tokens = {});
  /// The same for attempts without a group.
  boost::asio::awaitable<std::optional<permit>> enter(
      std::optional<std::size_t> avoided = std::nullopt, token_count tokens = {}) {
    return enter(others_, avoided, std::move(tokens));
  }

  /// The same for an attempt that does not wait: nullopt if it cannot start now, or if others
  /// already wait.
  std::optional<permit> try_enter(group& of, std::optional<std::size_t> avoided,
                                  const token_count& tokens);

  /// The earliest time at which an attempt of the group can start, if no other attempt is faster;
  /// time_point::max(): not known.
  time_point next_start(const group& of, std::uint64_t tokens);

  /// Whether the attempt may still be sent. False if machines share the limit, and its slot there
  /// has expired.
  bool may_send(permit turn) { return window_of(turn.lane).may_send(turn.slot, clock_.now()); }
  void sent(permit turn);
  void answered(permit turn);
  /// Actual token count; corrects the reservation.
  void used(permit turn, std::uint64_t tokens);
  /// The attempt is over; `sent_nothing` also frees its slot.
  void leave(permit turn, bool sent_nothing);

  /// Nothing starts in the lane's window before `until`.
  void pause(time_point until, std::size_t lane = 0);
  /// The same for this process alone: other processes try the relay on their own.
  void rest(time_point until, std::size_t lane = 0) { window_of(lane).rest(until); }
  /// Calls `tell`, on the event loop, when attempts wait for a pause of a lane that another process
  /// began and that lasts more than `longest` from now.
  void watch_pauses(duration longest, std::function<void(std::size_t lane, time_point until)> tell);
  /// The end of the last pause of the lane that another process began; it may be over.
  std::optional<time_point> others_last_pause(std::size_t lane) {
    return window_of(lane).others_last_pause(clock_.now());
  }
  /// Also counts the starts there. The largest number in any 60 s is then that of all its gates.
  void count_in(std::shared_ptr<joint_starts> joint) { joint_ = std::move(joint); }
  /// Sets other limits of a window, or of all lanes together; 0: none.
  void set_limits(std::size_t window, unsigned per_minute, std::uint64_t tokens_per_minute);
  void set_concurrency(std::size_t most);
  /// Sets how much usual attempts leave free for urgent ones: slots of each window, and places
  /// below each concurrency limit. If a limit is not larger than that, usual attempts may use one
  /// slot or place.
  void set_reserve(unsigned spare);
  /// Starts of other and earlier processes that still count in any of the windows.
  std::uint64_t starts_of_others();
  /// The end of the last pause of the lane's window that any process began. A time in the past: no
  /// pause.
  time_point paused_until(std::size_t lane = 0);
  /// Sets a minimum time between two starts in the lane's window.
  void space(duration gap, std::size_t lane = 0) noexcept;
  /// While `on`, the lane gets one new attempt at a time; attempts already in flight do not count.
  void one_at_a_time(bool on, std::size_t lane = 0);
  /// Sets the lane's concurrency limit; 0: only the common limit applies.
  void limit_in_flight(std::size_t most, std::size_t lane = 0);
  std::size_t in_flight(std::size_t lane) const noexcept { return lanes_[lane].in_flight; }
  /// A closed lane gets no attempts.
  void set_open(std::size_t lane, bool open);
  /// No attempt of the group starts until open() is called; enter() returns nothing to its waiters.
  void close(group& of);
  void open(group& of);
  /// The same for attempts without a group.
  void close() { close(others_); }
  void open() { open(others_); }

  /// The status of one group; the counts are only of this group.
  status now(group& of);
  /// The status of all groups together.
  status now();

 private:
  static constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();
  struct lane_state {
    std::size_t window = 0;
    // Start-time fair queueing (Goyal, Vin, Cheng 1996): the tag of the lane's next start, and what
    // each start adds to it.
    double stride = 1;
    double tag = 0;
    std::size_t in_flight = 0;
    duration gap{};          // minimum time between its starts
    std::size_t most = 0;    // its concurrency limit; 0: none
    std::size_t trials = 0;  // in flight, started while `trial` was on
    bool trial = false;
    bool open = true;

    bool full(unsigned spare) const noexcept { return is_full(in_flight, most, spare); }
    std::size_t free_places(unsigned spare) const noexcept {
      if (!open || (trial && trials > 0)) return 0;
      return std::min<std::size_t>(free_of(in_flight, most, spare), trial ? 1 : no_limit);
    }
    bool takes(unsigned spare) const noexcept { return free_places(spare) > 0; }
  };

  // One waiting attempt; lives in the frame of its coroutine.
  class waiter {
   public:
    waiter(start_gate& at, group& of, const token_count& tokens);
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;
    ~waiter();

    /// `again`: it was called but could not start. It takes its old place, near the head.
    void line_up(bool again);
    /// Takes it out of the queue and wakes it.
    void call();
    void resume() noexcept {
      called_ = false;
      --gate.called_;
    }

    start_gate& gate;
    group& of;
    const token_count& tokens;
    wait_queue turn;

   private:
    const std::uint64_t number_;  // in the order of their coming
    std::list<waiter*>::iterator place_;
    bool in_line_ = false;
    bool called_ = false;  // it was called and has not resumed yet
  };

  // The places that are free for a usual attempt. `most`: number of places, 0: no limit; `spare`:
  // places to leave free.
  static std::size_t free_of(std::size_t taken, std::size_t most, unsigned spare) noexcept {
    if (most == 0) return no_limit;
    const std::size_t usual = most - std::min<std::size_t>(spare, most - 1);
    return usual - std::min(taken, usual);
  }
  static bool is_full(std::size_t taken, std::size_t most, unsigned spare) noexcept {
    return free_of(taken, most, spare) == 0;
  }
  using line = std::list<waiter*>;
  line& line_of(const group& of) noexcept { return lines_[static_cast<std::size_t>(of.urgency_)]; }
  // The waiter whose turn is next; null: none.
  waiter* first() const noexcept {
    for (const line& each : lines_) {
      if (!each.empty()) return each.front();
    }
    return nullptr;
  }
  unsigned spare_of(const group& of) const noexcept {
    return of.urgency_ == urgency::urgent ? 0 : spare_;
  }
  unsigned spare_of_first() const noexcept {
    const waiter* next = first();
    return next == nullptr ? 0 : spare_of(next->of);
  }
  bool must_line_up(const group& of) const noexcept {
    const bool behind = of.urgency_ == urgency::usual ? first() != nullptr : !lines_[0].empty();
    return behind || called_ > 0;
  }
  rate_limiter& window_of(std::size_t lane) noexcept { return windows_[lanes_[lane].window]; }
  std::optional<permit> start(group& of, std::optional<std::size_t> avoided, std::uint64_t tokens);
  status now(bool waiting);
  bool is_idle() const noexcept { return open_groups_ == 0 && in_flight_ == 0; }
  std::size_t free_places(unsigned spare) const noexcept;
  bool has_place(unsigned spare) const noexcept { return free_places(spare) > 0; }
  struct next_turn {
    rate_limiter::wait wait{wait_cause::limit, time_point::max()};
    std::size_t lane = 0;
  };
  next_turn next_in_line(time_point now);
  time_point next_start(time_point now) { return next_in_line(now).wait.until; }
  void look_for_long_pauses(time_point now);
  time_point look_again(time_point now);
  void wake_next();
  void arm(time_point now, time_point next);
  void changed(std::size_t lane);
  void catch_up_later();
  void stop_alarms();

  clock& clock_;
  std::vector<rate_limiter> windows_;
  std::vector<lane_state> lanes_;
  double virtual_time_ = 0;  // tag of the last start
  start_meter meter_;
  std::shared_ptr<joint_starts> joint_;  // null: none
  std::size_t concurrency_;              // 0: no limit
  std::size_t in_flight_ = 0;
  std::size_t open_groups_ = 0;
  std::array<line, 2> lines_;  // of waiters, by urgency
  unsigned spare_ = 0;         // see set_reserve()
  std::size_t called_ = 0;     // waiters that were woken and have not resumed yet
  // How many waiters may be called before the first of them resumes. It doubles with each start and
  // is one again after a waiter could not start. So all places are taken within a few turns of the
  // loop, and few waiters are called in vain where a limit leaves one place at a time.
  std::size_t most_called_ = 1;
  std::uint64_t waiters_ = 0;  // so far
  bool held_ = false;  // the queue has a place, and waits for the limit, the pacing or a pause
  clock::timer alarm_ = 0;
  time_point alarm_at_{};
  clock::timer catch_up_alarm_ = 0;
  duration longest_pause_{};
  std::function<void(std::size_t, time_point)> tell_of_pause_;
  clock::timer pause_alarm_ = 0;
  group others_{*this};
};

}  // namespace sluice
