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

/// What the failures of all requests together say about the relay and the key: is this one
/// request's trouble, or everyone's? Pure; takes `now`; one object for each relay.
class relay_health {
 public:
  struct options {
    duration give_up_after = std::chrono::minutes{10};
    duration max_wait = std::chrono::minutes{10};
    duration backoff_base = std::chrono::seconds{1};
    duration backoff_cap = std::chrono::seconds{60};
    unsigned requests_per_minute = 0;  ///< the limit given; 0: none
    /// So many passing failures in a row, and the relay gets one trial at a time.
    unsigned failures_before_trial = 100;
  };
  /// What follows from a failure beyond the request that it struck.
  struct verdict {
    bool charge = true;    ///< it uses up one of the request's attempts
    bool suspect = false;  ///< the address may be wrong: keep the request until that is known
    std::optional<time_point> pause_until;  ///< for the key as a whole
    stop_reason stop = stop_reason::none;
    std::string reason;              ///< of the stop: what happened, in one clause
    std::optional<duration> wait{};  ///< of a stop to come back later: how long
  };

  /// So many answers that are none of this API's, with no other before, and the address is wrong.
  static constexpr unsigned suspicious_answers = 5;

  explicit relay_health(const options& chosen)
      : options_(chosen), rate_(chosen.requests_per_minute) {}

  /// `started`: when the attempt got its turn. What was sent before trouble began says nothing of
  /// whether the trouble is over, or has grown.
  void succeeded(time_point started);
  /// The head of a good reply has come: requests are let in, whatever becomes of this one.
  void answered(time_point started, time_point now);
  /// `refused_before`: how often the same request was throttled already; `full`: as many as were
  /// in flight beside it explain a refusal, which then says nothing of the rate; `model`: what it
  /// asked for, where the jobs ask for several: the address is wrong only when two of them agree.
  /// A refusal of the key ends it when it is confirmed: by another one of an attempt that started
  /// after the first was answered, with no success in between.
  verdict failed(const failure& why, time_point started, time_point now,
                 unsigned refused_before = 0, bool full = false, std::string_view model = {});
  /// The relay takes no more for now, whatever the request: its limit is reached, or an upstream's.
  static bool is_refusal(const failure& why);
  /// The relay has been left alone for as long as it asked: its troubles are over until it says
  /// otherwise.
  void rested();
  /// The same, and what made its address suspicious is forgotten: a new run asks.
  void asked_anew();
  /// Every request that is left waits for the address to be told right: it is not.
  verdict only_suspects_left() const;
  /// They asked for more than one model, or the jobs ask for one only.
  bool suspects_agree() const noexcept;

  /// Only one attempt at a time should be made until one succeeds.
  bool trial() const noexcept {
    return failing_.on || throttled_alone_ || unreachable_.on || key_refused_at_.has_value();
  }
  /// What it serves of the limit: a relay may allow less than was said, or count otherwise than we
  /// do, as a leaky bucket does.
  const adaptive_rate& rate() const noexcept { return rate_; }
  /// Whether any answer of this API has come yet.
  bool address_confirmed() const noexcept { return confirmed_; }

 private:
  // A spell of trouble: each new attempt that meets it doubles the pause, one that succeeds ends
  // it.
  struct spell {
    bool on = false;
    unsigned steps = 0;
    time_point since{};  // of the last step
    time_point until{};
  };
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
  std::set<std::string, std::less<>> suspicious_models_;  // none where the jobs ask for one
  std::optional<time_point> key_refused_at_;              // and not confirmed yet
  spell throttled_;
  spell unreachable_;
  spell failing_;
  bool throttled_alone_ = false;                 // so much so that it gets one at a time
  time_point hinted_until_ = time_point::min();  // the last pause that it asked for
  adaptive_rate rate_;
  unsigned failures_in_row_ = 0;
  std::optional<time_point> trouble_since_;
  std::string last_suspicion_;
};

}  // namespace sluice
