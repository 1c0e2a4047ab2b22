#pragma once

#include <optional>
#include <string>

#include "sluice/clock.hpp"
#include "sluice/error.hpp"

namespace sluice {

/// Whether a relay can stream, told by its failures. Where no streamed reply has ever come whole
/// and twenty streamed attempts in a row failed alike, one trial goes out unstreamed; if it
/// succeeds, streams are off. And the other way round: calls without a stream that are all cut
/// after the same time are cut because they are silent. Pure; not thread safe; one object a relay.
class stream_support {
 public:
  static constexpr unsigned failures_before_trial = 20;
  static constexpr unsigned cuts_before_advice = 5;

  /// Whether a failure can be one of streaming, and not of the key, the way there, or the moment.
  static bool may_be_of_streams(const failure& why);

  /// Streams are not asked for any more.
  bool off() const noexcept { return off_; }
  bool on_trial() const noexcept { return on_trial_; }

  void streamed_reply_came() noexcept { came_whole_ = true; }
  /// A streamed attempt failed. True: the next attempt of that request is the trial.
  bool streamed_attempt_failed(const failure& why);
  /// The trial succeeded. True: streams are off from now on.
  bool trial_succeeded() noexcept;
  /// No trial was made after all: another may be.
  void trial_abandoned() noexcept { trial_made_ = on_trial_ = false; }
  /// A new run asks: it may make a trial of its own.
  void asked_anew() noexcept {
    alike_ = 0;
    if (!on_trial_) trial_made_ = false;
  }
  /// The trial failed. True: it said nothing of streams, and goes on with the next attempt.
  bool trial_failed(const failure& why) noexcept;

  void unstreamed_reply_came() noexcept { cuts_ = 0; }
  /// A call without a stream failed after `lasted`. The time after which silent calls are cut, once
  /// it shows.
  std::optional<duration> unstreamed_attempt_failed(const failure& why, duration lasted);

 private:
  bool came_whole_ = false;
  bool trial_made_ = false;
  bool on_trial_ = false;
  bool off_ = false;
  std::string words_;   // of the streamed attempts that failed last
  unsigned alike_ = 0;  // in a row
  unsigned cuts_ = 0;   // of silent calls, in a row, at about the same time
  duration cut_after_{};
  bool advised_ = false;
};

}  // namespace sluice
