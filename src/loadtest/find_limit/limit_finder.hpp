// Decides what `sluice bench --find-limit` sends, and what it concludes: a relay's requests per
// minute and the way in which it counts them. Pure: takes `now` and events, does no I/O. Not thread
// safe.
//
// The search has three phases. First a burst, until the relay refuses: it shows how many calls are
// allowed at once. Then single calls, each after a pause three times as long as the last one, until
// the relay allows calls again: a bucket does so within one interval, a fixed minute when the next
// minute begins, a sliding log when the burst is a minute old. Then rounds that decide between the
// remaining ways of counting: half of the burst, a pause, and the other half; for a bucket, the
// refill in a known time; for a leaky bucket, evenly spaced streams whose rates approach its rate.
//
// After each experiment, all calls so far are compared with every way of counting
// (limit_evidence.hpp). The search ends when one way is left and its rate is known to 2 % or to one
// per minute, when none is left (another client uses the key, or the relay counts in another way),
// or when the allowed number of requests, refusals or the time is used up. The result may be
// "unclear": a kind is reported only if no other kind explains the calls, and if more than one
// opening or refill has shown it.
//
// The search limits the load on the relay: each burst ends at its third refusal, or at the first
// one with a Retry-After, and nothing starts before that wait is over. Starts are paced, at 20 per
// second and one more for each 8 allowed calls, up to 150, so that few calls have started when a
// refusal arrives. At most 16 calls are in flight, and one more for each 16 allowed calls, never
// more than `concurrency`. No new experiment begins after 20 refusals. So the maximum is 20 plus
// the calls in flight of one burst; about ten refusals are usual.
//
// The search cannot find out: whether another client uses a constant share of the key's limit (the
// result is then the rest), whether a bucket was full at the beginning (its burst may be larger),
// and the exact rate of a leaky bucket behind uneven delays (the bounds are right, and `rpm` is the
// rate of an even stream without a refusal). The caller waits until its own earlier starts are a
// minute old. The search allows for relays that count refused calls, or do not count failed ones.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "loadtest/find_limit/limit_evidence.hpp"
#include "sluice/clock.hpp"

namespace sluice::bench {

enum class limit_kind : std::uint8_t { sliding, bucket, fixed, leaky, none_found, unclear };

/// The name of the kind in documents.
std::string_view to_string(limit_kind kind) noexcept;

struct limit_finding {
  limit_kind kind = limit_kind::unclear;
  std::optional<double> rpm;       ///< long-term calls per minute
  std::optional<unsigned> burst;   ///< calls allowed at once
  std::optional<double> at_least;  ///< bounds of rpm
  std::optional<double> at_most;
  unsigned requests = 0;
  unsigned refused = 0;
  std::string evidence;  ///< one sentence for the user
};

class limit_finder {
 public:
  struct options {
    unsigned max_requests = 1000;
    unsigned ceiling = 1000;    ///< maximum starts in any 60 s
    unsigned concurrency = 64;  ///< maximum calls in flight
  };
  using call_id = std::uint64_t;

  enum class action : std::uint8_t { start, wait, done };
  struct step {
    action what = action::done;
    /// For `wait`: when to call next() again; time_point::max(): after the next answer.
    time_point until{};
  };

  /// After this number of refusals, no new burst begins.
  static constexpr unsigned max_refusals = 20;

  explicit limit_finder(const options& chosen);

  /// What to do next. After `start`, the caller starts one call and calls started(). Call next()
  /// again after every event.
  step next(time_point now);

  void started(call_id id, time_point now);
  /// The response head arrived and is not a refusal by the limit.
  void accepted(call_id id, time_point now);
  void refused(call_id id, time_point now, std::optional<duration> retry_after);
  void failed(call_id id, time_point now);  ///< a 5xx, a timeout, or no connection

  /// The result. If the search had to end early, the result is what is known so far.
  limit_finding finding() const;

 private:
  // One experiment: from a certain time, a number of calls, as fast as allowed or at an even gap,
  // until a certain number is refused.
  struct experiment {
    double at = 0;
    unsigned count = 1;
    unsigned stop_after = 1;
    double gap = 0;
    // expected number of allowed calls, if known; near it, few calls are in flight
    unsigned expected = 0;

    unsigned begun = 0;
    unsigned before_refusal = 0;  // calls begun before the first refused one
    double refusal_start = 0;     // start of the first refused call
    unsigned admitted = 0;
    unsigned refused = 0;
    bool closed = false;
    double first_start = 0;
    double last_start = 0;
    double last_head = 0;  // of an allowed call
  };
  enum class phase : std::uint8_t { burst, reopening, rounds, over };
  enum class round_part : std::uint8_t { fresh, half, rest, before_minute, after_minute };

  double seconds(time_point t) const;
  time_point moment(double t) const;
  void answered(call_id id, time_point now, call_outcome how);
  step proceed(double now);
  unsigned may_be_in_flight() const;
  unsigned away_from_expected() const;
  unsigned let_in_after_refusal() const;
  double gap() const;
  bool at_ceiling(double now) const;
  double room_under_ceiling() const;
  bool spent() const;

  void plan(double now);
  void after_burst(double now);
  void after_probe(double now);
  void after_round(double now);
  void plan_round(double now);
  void plan_halves(double now);
  void plan_refill(double now, const limit_evidence::bucket_ranges& bucket);
  void plan_stream(double now, const limit_evidence::bucket_ranges& bucket);
  void note_stream();
  void note_emptied();
  bool confirmed() const;
  bool settled() const;
  void run(const experiment& next);
  void end(std::string why);

  limit_finding one_kind() const;
  limit_finding several_kinds() const;

  options options_;
  std::optional<time_point> origin_;
  std::vector<limit_call> calls_;
  std::map<call_id, std::size_t> in_flight_;
  limit_evidence evidence_;
  experiment now_;  // the current experiment
  bool planned_ = false;
  phase phase_ = phase::burst;
  std::string why_;  // why it ended without a result
  unsigned refused_ = 0;
  unsigned failed_ = 0;
  unsigned experiments_ = 0;
  unsigned full_bursts_ = 0;    // bursts that ended with refusals
  unsigned confirmations_ = 0;  // bursts in which calls were allowed after the relay opened again
  double hinted_until_ = 0;
  double last_refusal_ = 0;
  double slowest_refusal_ = 0;
  double last_admitted_ = 0;  // head of the last allowed call

  // State of the first burst.
  unsigned tries_ = 0;
  unsigned burst_ = 0;
  double burst_end_ = 0;
  // State of the search for the opening.
  unsigned probes_ = 0;
  double opened_ = 0;
  // State of the rounds.
  round_part part_ = round_part::fresh;
  unsigned rounds_ = 0;
  double half_first_start_ = 0;
  double half_last_head_ = 0;
  bool streaming_ = false;
  unsigned streams_ = 0;
  double passed_rate_ = 0;  // the fastest stream without a refusal
  double refused_rate_ = 0;
};

}  // namespace sluice::bench
