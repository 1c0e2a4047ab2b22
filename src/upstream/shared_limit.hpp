#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sluice/clock.hpp"

namespace sluice {

/// The part of a key's rate limit that this process may use now, if several machines share the
/// limit. Takes `now` and never waits. Not thread safe: use it on the event loop's thread.
class shared_limit {
 public:
  using ticket = std::uint64_t;  ///< one start

  virtual ~shared_limit() = default;
  /// Takes one start of `tokens`; nullopt: this process may start nothing now.
  virtual std::optional<ticket> take(time_point now, std::uint64_t tokens) = 0;
  /// When to try take() again; `now` or earlier: it can succeed now.
  virtual time_point next(time_point now) = 0;
  /// Whether the start may still be sent. Called right before its first byte is sent.
  virtual bool holds(ticket start, time_point now) const = 0;

  virtual void sent(ticket start, time_point now) = 0;      ///< the last byte was sent
  virtual void answered(ticket start, time_point now) = 0;  ///< the head of the reply arrived
  virtual void cancel(ticket start, time_point now) = 0;    ///< nothing was sent
  /// Actual token count; corrects the reservation.
  virtual void correct(ticket start, std::uint64_t tokens, time_point now) = 0;
  /// The ticket is not used any more.
  virtual void done(ticket start) = 0;

  /// Nothing may start before `until`, on any machine.
  virtual void pause(time_point until, time_point now) = 0;
  virtual time_point paused_until() const = 0;
  /// Sets other limits; 0: none.
  virtual void set_limits(std::uint64_t per_minute, std::uint64_t tokens_per_minute) = 0;
};

/// The limits that machines share, by the name of their window. Not thread safe.
class shared_limits {
 public:
  virtual ~shared_limits() = default;
  /// Returns the limit of this window; this object owns it. `reach`: the longest time until an
  /// attempt that began has arrived at the relay.
  virtual shared_limit& open(const std::string& window, std::uint64_t per_minute,
                             std::uint64_t tokens_per_minute, duration margin, duration reach) = 0;
};

}  // namespace sluice
