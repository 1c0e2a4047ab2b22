#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "sluice/clock.hpp"
#include "sluice/error.hpp"
#include "upstream/adaptive_rate.hpp"

namespace sluice {

/// Decides from the failures of all requests whether the relay, the key or only one request has a
/// problem. Pure: takes `now`. Not thread safe; one object for each relay.
class relay_health {
 public:
  struct options {
    duration give_up_after = std::chrono::minutes{10};
    duration max_wait = std::chrono::minutes{10};
    duration backoff_base = std::chrono::seconds{1};
    duration backoff_cap = std::chrono::seconds{60};
    unsigned requests_per_minute = 0;  ///< the configured limit; 0: none
    /// After this number of temporary failures in a row, the relay gets one trial at a time.
    unsigned failures_before_trial = 100;
  };
  /// What a failure means for the request's attempts, the relay and the key.
  struct verdict {
    bool charge = true;    ///< the failure counts as one of the request's attempts
    bool suspect = false;  ///< the address may be wrong: hold the request until that is decided
    std::optional<time_point> pause_until;  ///< pause the whole key
    stop_reason stop = stop_reason::none;
    std::string reason;              ///< for a stop: what happened, in one clause
    std::optional<duration> wait{};  ///< for come_back_later: how long
  };

  /// If the first answers are not from this API, the address is wrong after this number of them.
  static constexpr unsigned suspicious_answers = 5;

  explicit relay_health(const options& settings)
      : options_(settings), rate_(settings.requests_per_minute) {}

  /// `started`: when the attempt started. An attempt that started before a problem began shows
  /// neither that the problem is over nor that it got worse.
  void succeeded(time_point started);
  /// The head of a successful reply arrived: the relay accepts requests, however this one ends.
  /// `held`: see adaptive_rate::served().
  void answered(time_point started, time_point now, bool held = true);
  /// `refused_before`: how often the same request was throttled before; `full`: a concurrency limit
  /// explains the refusal, so it says nothing about the rate; `model`: the requested model, or
  /// empty if the jobs use only one. With several models, the address is wrong only if requests for
  /// two models agree.
  /// A refusal of the key stops the run only when it is confirmed: by a second refusal, of an
  /// attempt that started after the first one was answered, without a success in between.
  verdict failed(const failure& why, time_point started, time_point now,
                 unsigned refused_before = 0, bool full = false, std::string_view model = {});
  /// Another process paused the key until then. If the pause is longer than a backoff, the relay
  /// asked for it.
  void paused_by_others(time_point until);
  /// The relay accepts no more requests for now: a limit is reached, its own or an upstream's.
  static bool is_refusal(const failure& why);
  /// The pause that the relay asked for is over, so all problems count as over.
  void rested();
  /// Sets another configured limit; 0: none.
  void set_limit(unsigned requests_per_minute) { rate_.set_limit(requests_per_minute); }
  /// Like rested(), and also forgets earlier doubts about the address.
  void reset_for_new_run();
  /// The verdict if all remaining requests wait for the address to be confirmed: the address is
  /// wrong.
  verdict only_suspects_left() const;
  /// The suspicious answers were for more than one model, or the jobs use only one.
  bool suspects_agree() const noexcept;

  /// Only one attempt at a time should be made, until one succeeds.
  bool trial() const noexcept {
    return failing_.on || throttled_alone_ || unreachable_.on || key_refused_at_.has_value();
  }
  /// The rate that it really serves: a relay may allow less than the configured limit, or count in
  /// another way, for example with a leaky bucket.
  const adaptive_rate& rate() const noexcept { return rate_; }
  /// Whether the relay has given an answer of this API.
  bool address_confirmed() const noexcept { return confirmed_; }

 private:
  // A period of failures: each new attempt that fails doubles the pause, a success ends it.
  struct spell {
    bool on = false;
    unsigned steps = 0;
    time_point since{};  // time of the last step
    time_point until{};
  };
  // A time without success in which the relay gets one attempt at a time.
  struct trouble_time {
    time_point since;
    time_point last;         // its last failure
    duration asked;          // how long the relay asked to wait, in all
    time_point asked_until;  // end of the last of these waits
    void ask(time_point begin, time_point end);
  };
  bool gives_up(std::optional<time_point> hint, time_point now);
  bool prolong(spell& trouble, time_point started, time_point now) const;
  static void end(spell& trouble, time_point started);
  void end_throttling(time_point started);
  verdict key_refused(const failure& why, time_point started, time_point now);
  adaptive_rate::effect note_refusal(bool hinted, time_point started, time_point now);
  duration backoff(unsigned steps) const;

  options options_;
  bool confirmed_ = false;
  bool served_ = false;  // a request has succeeded
  unsigned suspicious_ = 0;
  std::set<std::string, std::less<>> suspicious_models_;  // empty if the jobs use only one
  std::optional<time_point> key_refused_at_;              // first refusal, not confirmed yet
  spell throttled_;
  spell unreachable_;
  spell failing_;
  bool throttled_alone_ = false;                 // throttling limits it to one attempt at a time
  time_point hinted_until_ = time_point::min();  // end of the last pause that the relay asked for
  adaptive_rate rate_;
  unsigned failures_in_row_ = 0;
  std::optional<trouble_time> trouble_;
  std::string last_suspicion_;
  bool blocked_ = false;  // the last suspicion is a gateway's refusal
};

}  // namespace sluice
