#pragma once

#include <optional>
#include <string>

#include "sluice/clock.hpp"
#include "sluice/error.hpp"

namespace sluice {

/// Finds out from failures whether a relay can stream. Pure; not thread safe; one object for each
/// relay. If no streamed reply was ever complete and twenty streamed attempts in a row failed with
/// the same message, one trial is sent without a stream; if it succeeds, streams are off. Also
/// detects the opposite: if requests without a stream are all cut off after the same time, the
/// cause is their silence, and the user is advised to stream.
class stream_support {
 public:
  static constexpr unsigned failures_before_trial = 20;
  static constexpr unsigned cuts_before_advice = 5;

  /// Whether streaming may be the cause of a failure, and not the key, the address or the size.
  static bool may_be_of_streams(const failure& why);

  /// Requests must not ask for streams.
  bool off() const noexcept { return off_; }
  bool on_trial() const noexcept { return on_trial_; }

  void streamed_reply_came() noexcept { came_whole_ = true; }
  /// A streamed attempt failed. True: the next attempt of that request is the trial.
  bool streamed_attempt_failed(const failure& why);
  /// The trial succeeded. True: streams are off from now on.
  bool trial_succeeded() noexcept;
  /// The trial was not sent, or its request failed for another reason; a later one may be sent.
  void trial_abandoned() noexcept { trial_made_ = on_trial_ = false; }
  /// A new run may make its own trial.
  void reset_for_new_run() noexcept {
    alike_ = 0;
    if (!on_trial_) trial_made_ = false;
  }
  /// The trial failed. True: the failure says nothing about streams, so the next attempt of the
  /// request is the trial.
  bool trial_failed(const failure& why) noexcept;

  void unstreamed_reply_came() noexcept { cuts_ = 0; }
  /// A request without a stream failed after `lasted`. Returns the time after which silent requests
  /// are cut off, once, when it is known.
  std::optional<duration> unstreamed_attempt_failed(const failure& why, duration lasted);

 private:
  bool came_whole_ = false;
  bool trial_made_ = false;
  bool on_trial_ = false;
  bool off_ = false;
  std::string words_;   // message of the last failed streamed attempts
  unsigned alike_ = 0;  // number of them in a row
  unsigned cuts_ = 0;   // requests in a row that were cut off after about the same time
  duration cut_after_{};
  bool advised_ = false;
};

}  // namespace sluice
