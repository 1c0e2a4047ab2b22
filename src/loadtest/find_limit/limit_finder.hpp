// What `sluice bench --find-limit` sends, and what it concludes: a relay's requests a minute and
// the way in which it counts them. Pure: takes `now` and events, does no I/O. Not thread safe.
//
// First comes a burst, until the relay refuses: how many it lets through at once. Then single
// calls, each after three times as long a pause as the last, until it opens again: a bucket does
// within an interval, a fixed minute with the next minute, a sliding log when the burst is a minute
// old. Then rounds that tell apart what is left: half of the burst, a pause, and the other half;
// for a bucket, what it was refilled with in a known time; for a leaky one, even streams that close
// in on its rate.
//
// After each, everything seen so far is held against every way to count (limit_evidence.hpp). It
// ends when one way is left and its rate is known to 2 % or to one a minute, when none is left
// (another client uses the key, or the relay counts otherwise), or when what may be spent is spent.
// "unclear" is an answer: a kind is named only where no other agrees with what was seen, and more
// than one opening or refill has shown it.
//
// How rude it is: each burst ends at its third refusal, or at the first with a Retry-After, and
// nothing starts before that has passed. It is paced, at 20 a second and one more for each 8 let
// through, up to 150, so that few have started by the time a refusal is heard; at most 16 are in
// flight, and one more for each 16 let through, never more than `concurrency`. Nothing new begins
// once 20 were refused: that and what one burst has in flight is the bound, about ten is usual.
//
// What it cannot know: whether another client has a steady share of the key's limit (what is found
// is then what is left), whether a bucket was full at the beginning (its burst may be larger), and
// the exact rate of a leaky bucket behind uneven delays (its bounds hold, and `rpm` is what an even
// stream got through without a refusal). The caller waits until its own earlier starts are a minute
// old. That refused calls count at the relay, or failed ones don't, is allowed for.
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
  std::optional<double> rpm;       ///< calls a minute, in the long run
  std::optional<unsigned> burst;   ///< so many at once
  std::optional<double> at_least;  ///< bounds of rpm
  std::optional<double> at_most;
  unsigned requests = 0;
  unsigned refused = 0;
  std::string evidence;  ///< one sentence for a customer
};

class limit_finder {
 public:
  struct options {
    unsigned max_requests = 1000;
    unsigned ceiling = 1000;    ///< starts in any 60 s
    unsigned concurrency = 64;  ///< calls in flight
  };
  using call_id = std::uint64_t;

  enum class action : std::uint8_t { start, wait, done };
  struct step {
    action what = action::done;
    /// Of a wait: when to ask again; time_point::max(): after the next answer.
    time_point until{};
  };

  /// So many refusals, and no new burst begins.
  static constexpr unsigned max_refusals = 20;

  explicit limit_finder(const options& chosen);

  /// What to do next. After `start` the caller starts one call and says so; to be asked again after
  /// every event.
  step next(time_point now);

  void started(call_id id, time_point now);
  void accepted(call_id id, time_point now);  ///< a head that is no refusal by the limit
  void refused(call_id id, time_point now, std::optional<duration> retry_after);
  void failed(call_id id, time_point now);  ///< 5xx, a timeout, no connection

  /// Once it is done, or for what is known when it has to be left early.
  limit_finding finding() const;

 private:
  // One experiment: at some moment, so many calls, as fast as allowed or at an even gap, until so
  // many are refused.
  struct experiment {
    double at = 0;
    unsigned count = 1;
    unsigned stop_after = 1;
    double gap = 0;
    unsigned expected = 0;  // admissions, where that is known: near it, few are in flight

    unsigned begun = 0;
    unsigned before_refusal = 0;  // begun before the first of the refused
    double refusal_start = 0;     // of that one
    unsigned admitted = 0;
    unsigned refused = 0;
    bool closed = false;
    double first_start = 0;
    double last_start = 0;
    double last_head = 0;  // of one that was let in
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
  experiment now_;  // the one that is on
  bool planned_ = false;
  phase phase_ = phase::burst;
  std::string why_;  // it ended without a kind
  unsigned refused_ = 0;
  unsigned failed_ = 0;
  unsigned experiments_ = 0;
  unsigned full_bursts_ = 0;    // that ended with refusals
  unsigned confirmations_ = 0;  // that let something in since it opened again
  double hinted_until_ = 0;
  double last_refusal_ = 0;
  double slowest_refusal_ = 0;
  double last_admitted_ = 0;  // head

  // the first burst
  unsigned tries_ = 0;
  unsigned burst_ = 0;
  double burst_end_ = 0;
  // the opening
  unsigned probes_ = 0;
  double opened_ = 0;
  // rounds
  round_part part_ = round_part::fresh;
  unsigned rounds_ = 0;
  double half_first_start_ = 0;
  double half_last_head_ = 0;
  bool streaming_ = false;
  unsigned streams_ = 0;
  double passed_rate_ = 0;  // the fastest stream that was let through
  double refused_rate_ = 0;
};

}  // namespace sluice::bench
