#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <vector>

#include "async/wait_queue.hpp"
#include "sluice/clock.hpp"
#include "upstream/rate_limiter.hpp"

namespace sluice {

/// Where every attempt waits for its turn: a place among those in flight, and a slot of a relay's
/// window. First come, first served, so no run, no job and no retry is passed over. With several
/// relays each is a lane, and who starts is sent to one that has room, by the lanes' weights.
///
/// Belongs to the event loop's thread. A waiter that is destroyed leaves the line; the gate
/// outlives all of them.
class start_gate {
 public:
  /// Attempts that are counted, and sent away, together: those of one run. Outlives them, and not
  /// the gate.
  class group {
   public:
    /// It is open.
    explicit group(start_gate& at) : gate_(at) { gate_.open(*this); }
    group(const group&) = delete;
    group& operator=(const group&) = delete;
    ~group() { gate_.close(*this); }

   private:
    friend class start_gate;
    start_gate& gate_;
    start_meter meter_;
    std::size_t in_flight_ = 0;
    std::size_t waiting_ = 0;
    bool closed_ = true;
  };

  /// The right to make one attempt.
  struct permit {
    rate_limiter::slot slot;
    std::size_t lane = 0;
    bool trial = false;      ///< it was given while the lane was on trial
    std::size_t beside = 0;  ///< how many others were in flight in the lane
    bool spread = false;     ///< starts in the lane were kept apart
    group* of = nullptr;     ///< whose attempt it is
  };

  /// A relay, as the gate sees it.
  struct lane_options {
    std::size_t window = 0;  ///< which of the windows it counts in; members of one key share theirs
    unsigned weight = 1;
  };

  /// About how many tokens an attempt takes, as is known when its turn comes; empty: none.
  using token_count = std::function<std::uint64_t()>;

  /// What a person wants to know about the waiting.
  struct status {
    std::size_t in_flight = 0;
    std::size_t waiting = 0;
    std::uint64_t started_last_minute = 0;
    std::uint64_t most_in_a_minute = 0;
    std::optional<time_point>
        next_start;           ///< set when the limit or a pause is what holds the waiting
    bool full = false;        ///< no place is left among those in flight
    bool lanes_full = false;  ///< the lanes' own limits hold the waiting, and not the common one
  };

  /// With one lane.
  start_gate(clock& clock, const rate_limiter::options& limit, std::size_t concurrency);
  start_gate(clock& clock, const std::vector<rate_limiter::options>& windows,
             const std::vector<lane_options>& lanes, std::size_t concurrency);
  ~start_gate();
  start_gate(const start_gate&) = delete;
  start_gate& operator=(const start_gate&) = delete;

  /// Waits for the turn of an attempt of so many tokens; nothing when the group was closed
  /// meanwhile. The lane `avoided` is given only while no other has room.
  boost::asio::awaitable<std::optional<permit>> enter(
      group& of, std::optional<std::size_t> avoided = std::nullopt, token_count tokens = {});
  /// The same for those that belong to no group of their own.
  boost::asio::awaitable<std::optional<permit>> enter(
      std::optional<std::size_t> avoided = std::nullopt, token_count tokens = {}) {
    return enter(others_, avoided, std::move(tokens));
  }

  void sent(permit held);
  void answered(permit held);
  /// Actual token count; corrects the reservation.
  void used(permit held, std::uint64_t tokens);
  /// The attempt is over, however; `sent_nothing` returns its slot as well.
  void leave(permit held, bool sent_nothing);

  /// Nothing starts in the lane's window before `until`.
  void pause(time_point until, std::size_t lane = 0);
  /// The end of the last pause of the lane's window, by whichever process; long ago: there was
  /// none.
  time_point paused_until(std::size_t lane = 0);
  /// At least so much time between two starts in the lane's window.
  void space(duration gap, std::size_t lane = 0) noexcept;
  /// While on, one attempt at a time in the lane, beside those that were on their way before.
  void one_at_a_time(bool on, std::size_t lane = 0);
  /// At most so many in flight in the lane; 0: as many as in all.
  void limit_in_flight(std::size_t most, std::size_t lane = 0);
  std::size_t in_flight(std::size_t lane) const noexcept { return lanes_[lane].in_flight; }
  /// A lane that is not open is given to nobody.
  void set_open(std::size_t lane, bool open);
  /// Nothing of the group starts until open() is called: those who wait are sent away.
  void close(group& of);
  void open(group& of);
  /// The same for those that belong to no group of their own.
  void close() { close(others_); }
  void open() { open(others_); }

  /// As the group has it; starts and attempts in flight are its own.
  status now(group& of);
  /// Of all groups together.
  status now();

 private:
  struct lane_state {
    std::size_t window = 0;
    double stride = 1;  // what a start adds to its tag
    double tag = 0;     // of its next start, by start-time fair queueing (Goyal, Vin, Cheng 1996)
    std::size_t in_flight = 0;
    duration gap{};          // that it asks of its window
    std::size_t most = 0;    // in flight
    std::size_t trials = 0;  // in flight, of those given on trial
    bool trial = false;
    bool open = true;

    bool full() const noexcept { return most != 0 && in_flight >= most; }
    bool takes() const noexcept { return open && !full() && (!trial || trials == 0); }
  };

  // One who waits, in the frame of its coroutine.
  class waiter {
   public:
    waiter(start_gate& at, group& of, const token_count& tokens);
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;
    ~waiter();

    /// `first`: at the head of the line, where one who was called in vain belongs.
    void line_up(bool first);
    /// Out of the line; woken.
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
    std::list<waiter*>::iterator place_;
    bool in_line_ = false;
    bool called_ = false;  // and has not come through yet
  };

  rate_limiter& window_of(std::size_t lane) noexcept { return windows_[lanes_[lane].window]; }
  std::optional<permit> try_enter(group& of, std::optional<std::size_t> avoided,
                                  std::uint64_t tokens);
  status now(bool waiting);
  bool is_idle() const noexcept { return open_groups_ == 0 && in_flight_ == 0; }
  bool has_place() const noexcept;
  time_point next_start(time_point now);
  time_point look_again(time_point now);
  void wake_next();
  void arm(time_point now, time_point next);
  void changed(std::size_t lane);
  void catch_up_later();
  void stop_alarms();

  clock& clock_;
  std::vector<rate_limiter> windows_;
  std::vector<lane_state> lanes_;
  double virtual_time_ = 0;  // the tag of the last start
  start_meter meter_;
  std::size_t concurrency_;  // 0: no limit
  std::size_t in_flight_ = 0;
  std::size_t open_groups_ = 0;
  std::list<waiter*> line_;
  std::size_t called_ = 0;  // woken, and not yet through
  clock::timer alarm_ = 0;
  time_point alarm_at_{};
  clock::timer catch_up_alarm_ = 0;
  group others_{*this};
};

}  // namespace sluice
