#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <optional>

#include "rate_limiter.hpp"
#include "sluice/clock.hpp"
#include "wait_queue.hpp"

namespace sluice {

/// Where every attempt of a run waits for its turn: a place among those in flight, and a slot of
/// the relay's window. First come, first served, so no job and no retry is passed over.
class start_gate {
 public:
  /// The right to make one attempt.
  struct permit {
    rate_limiter::slot slot;
  };

  /// What a person wants to know about the waiting.
  struct status {
    std::size_t in_flight = 0;
    std::size_t waiting = 0;
    std::uint64_t started_last_minute = 0;
    std::uint64_t most_in_a_minute = 0;
    std::optional<time_point>
        next_start;     ///< set when the limit or a pause is what holds the waiting
    bool full = false;  ///< no place is left among those in flight
  };

  start_gate(clock& clock, const rate_limiter::options& limit, std::size_t concurrency);
  ~start_gate();
  start_gate(const start_gate&) = delete;
  start_gate& operator=(const start_gate&) = delete;

  /// Waits for the turn; nothing when the gate was closed meanwhile.
  boost::asio::awaitable<std::optional<permit>> enter();

  void sent(permit held);
  void answered(permit held);
  /// The attempt is over, however; `sent_nothing` returns its slot as well.
  void leave(permit held, bool sent_nothing);

  /// Nothing starts before `until`.
  void pause(time_point until);
  /// At least so much time between two starts.
  void space(duration gap) noexcept { limiter_.space(gap); }
  /// While on, one attempt at a time.
  void one_at_a_time(bool on);
  /// Nothing starts until open() is called: those who wait are sent away.
  void close();
  void open() noexcept { closed_ = false; }

  status now();

 private:
  std::optional<permit> try_enter();
  bool has_place() const noexcept;
  void wake_next();
  void arm();

  clock& clock_;
  rate_limiter limiter_;
  start_meter meter_;
  std::size_t concurrency_;  // 0: no limit
  std::size_t in_flight_ = 0;
  bool trial_ = false;
  bool closed_ = false;
  wait_queue line_;
  std::size_t called_ = 0;  // woken, and not yet through
  clock::timer alarm_ = 0;
  time_point alarm_at_{};
};

}  // namespace sluice
