#include "loadtest/find_limit/limit_evidence.hpp"

#include <algorithm>
#include <cmath>

namespace sluice::bench {
namespace {

constexpr double minute = 60;
// Some relays log times in whole seconds. Their minute is then 59 to 61 seconds long.
constexpr double clock_step = 1;
constexpr double phase_step = 0.1;
constexpr double finest_phase_step = 0.002;
constexpr double any_burst_from = 16;
constexpr double unbounded = 1e9;
constexpr limit_range all_rates{0.2, 60'000};
constexpr double a_second = 1.0 / minute;

double count_until(const std::vector<double>& sorted, double t) {
  return static_cast<double>(std::upper_bound(sorted.begin(), sorted.end(), t) - sorted.begin());
}

/// The smallest burst with which a bucket, refilled at `rate` per second, allows all calls in
/// `seen`: the largest difference, in any period, between the arrived calls and the refill.
double least_burst(const arrival_curves& seen, double rate) {
  double least = 1;
  double best = -unbounded;
  std::size_t y = 0;
  for (std::size_t x = 0; x < seen.heads.size(); ++x) {
    for (; y < seen.starts.size() && seen.starts[y] <= seen.heads[x]; ++y)
      best = std::max(best, rate * seen.starts[y] - static_cast<double>(y));
    least = std::max(least, static_cast<double>(x + 1) - rate * seen.heads[x] + best);
  }
  return least;
}

}  // namespace

double arrival_curves::started_by(double t) const {
  return count_until(starts, t);
}
double arrival_curves::arrived_by(double t) const {
  return count_until(heads, t);
}

/// The refused calls, sorted by their start, and in groups of calls that were in flight at the same
/// time. In each group one call arrived first, and no other call of the group was counted before
/// it.
struct limit_evidence::refusals {
  std::vector<limit_call> calls;
  std::vector<std::size_t> group;

  explicit refusals(const std::vector<limit_call>& all) {
    for (const auto& one : all) {
      if (one.how == call_outcome::refused) calls.push_back(one);
    }
    std::sort(calls.begin(), calls.end(),
              [](const auto& a, const auto& b) { return a.start < b.start; });
    double end = -unbounded;
    for (const auto& one : calls) {
      const bool joined = !group.empty() && one.start <= end;
      group.push_back(group.empty() ? 0 : group.back() + (joined ? 0U : 1U));
      end = std::max(end, one.head);
    }
  }

  /// The number of calls of earlier groups that the relay may have counted in the last `length`
  /// seconds before call `i` arrived.
  double counted_before(std::size_t i, double length) const {
    double n = 0;
    for (std::size_t j = 0; j < calls.size() && group[j] < group[i]; ++j) {
      if (calls[j].head > calls[i].start - length) ++n;
    }
    return n;
  }
};

namespace {

/// The upper bound of a bucket's burst, with a refill of `rate` per second, that follows from the
/// refusals: the largest amount that can have been taken from it, minus the refill.
double burst_bound(const arrival_curves& seen, const std::vector<limit_call>& refused,
                   double rate) {
  double bound = unbounded;
  double best = -unbounded;
  std::size_t y = 0;
  for (const auto& one : refused) {
    for (; y < seen.heads.size() && seen.heads[y] <= one.start; ++y)
      best = std::max(best, rate * seen.heads[y] - static_cast<double>(y));
    const double taken = std::max(best - rate * one.start, -static_cast<double>(y));
    bound = std::min(bound, 1 + seen.started_by(one.head) + taken);
  }
  return bound;
}

}  // namespace

limit_evidence::limit_evidence() {
  for (const bool failed_count : {true, false}) {
    for (const bool refused_count : {false, true})
      logs_.push_back({refused_count, failed_count, {1, unbounded}});
    for (double phase = 0; phase < minute; phase += phase_step)
      minutes_.push_back({failed_count, phase, phase_step, {1, unbounded}});
    for (double burst = 0; burst < any_burst_from; ++burst)
      buckets_.push_back({failed_count, burst, all_rates, {burst, burst}});
  }
}

void limit_evidence::learn(const std::vector<limit_call>& calls) {
  failures_ = std::any_of(calls.begin(), calls.end(),
                          [](const auto& one) { return one.how == call_outcome::failed; });
  const refusals refused(calls);
  for (const bool failed_count : {true, false}) {
    if (!asked(failed_count)) continue;
    const auto seen = admitted_calls(calls, failed_count);
    const auto impossible = [&](auto& space) {
      return space.failed_count == failed_count && !narrow(space, seen, refused);
    };
    std::erase_if(logs_, impossible);
    std::erase_if(buckets_, impossible);
    std::erase_if(minutes_, impossible);
    while (look_closer_at_minutes(failed_count)) std::erase_if(minutes_, impossible);
  }
}

/// Halves the steps of the possible phases. The phase of the minute is the same for all calls, so
/// if only few steps are possible, smaller steps give tighter limits.
bool limit_evidence::look_closer_at_minutes(bool failed_count) {
  constexpr std::size_t few = 300;
  std::vector<minute_space> others;
  std::vector<minute_space> halves;
  bool fine = false;
  for (auto space : minutes_) {
    if (space.failed_count != failed_count) {
      others.push_back(space);
      continue;
    }
    fine = space.step < finest_phase_step;
    space.step /= 2;
    halves.push_back(space);
    space.phase += space.step;
    halves.push_back(space);
  }
  if (fine || halves.empty() || halves.size() > 2 * few) return false;
  minutes_ = std::move(failed_count ? halves : others);
  const auto& rest = failed_count ? others : halves;
  minutes_.insert(minutes_.end(), rest.begin(), rest.end());
  return true;
}

void limit_evidence::emptied_at(double rate) {
  for (auto& space : buckets_) space.rate.high = std::min(space.rate.high, rate);
  std::erase_if(buckets_, [](const auto& space) { return space.rate.low > space.rate.high; });
}

bool limit_evidence::narrow(log_space& space, const arrival_curves& seen, const refusals& refused) {
  for (const double x : seen.heads) {
    const double together = seen.arrived_by(x) - seen.started_by(x - minute + clock_step);
    space.limit.low = std::max(space.limit.low, together);
  }
  // Any call of the group may have arrived first. That call saw at most this number of calls.
  double most = 0;
  for (std::size_t i = 0; i < refused.calls.size(); ++i) {
    const auto& one = refused.calls[i];
    const double length = minute + clock_step;
    double before = seen.started_by(one.head) - seen.arrived_by(one.start - length);
    if (space.refused_count) before += refused.counted_before(i, length);
    const bool first = i == 0 || refused.group[i] != refused.group[i - 1];
    most = first || !space.refused_count ? before : std::max(most, before);
    const bool last = i + 1 == refused.calls.size() || refused.group[i + 1] != refused.group[i];
    if (last || !space.refused_count) space.limit.high = std::min(space.limit.high, most);
  }
  return space.limit.low <= space.limit.high;
}

bool limit_evidence::narrow(minute_space& space, const arrival_curves& seen,
                            const refusals& refused) {
  if (seen.heads.empty()) return true;
  const auto index = [&](double t) { return std::floor((t - space.phase) / minute); };
  for (double m = index(seen.starts.front()) - 1; m <= index(seen.heads.back()); ++m) {
    const double begin = space.phase + m * minute;
    const double inside = seen.arrived_by(begin + minute) - seen.started_by(begin + space.step);
    space.limit.low = std::max(space.limit.low, inside);
  }
  for (const auto& one : refused.calls) {
    double most = 0;
    for (double m = index(one.start - space.step); m <= index(one.head); ++m) {
      const double begin = space.phase + m * minute;
      const double end = begin + minute + space.step;
      most = std::max(most, seen.started_by(std::min(one.head, end)) - seen.arrived_by(begin));
    }
    space.limit.high = std::min(space.limit.high, most);
    // If the minute is full, no more calls are allowed in it.
    const double m = index(one.head);
    const double end = space.phase + (m + 1) * minute;
    if (m == index(one.start - space.step) && seen.arrived_by(end) > seen.started_by(one.head))
      return false;
  }
  return space.limit.low <= space.limit.high;
}

bool limit_evidence::narrow(bucket_space& space, const arrival_curves& seen,
                            const refusals& refused) {
  return space.burst > 0 ? narrow_one(space, seen, refused) : narrow_many(space, seen, refused);
}

/// Both bounds of the burst decrease as the rate grows, so the possible rates for one burst form an
/// interval.
bool limit_evidence::narrow_one(bucket_space& space, const arrival_curves& seen,
                                const refusals& refused) {
  const auto enough = [&](double rate) {
    return least_burst(seen, rate * a_second) <= space.burst + 1e-6;
  };
  const auto refuses = [&](double rate) {
    return burst_bound(seen, refused.calls, rate * a_second) > space.burst + 1e-6;
  };
  if (!enough(space.rate.high) || !refuses(space.rate.low)) return false;
  const auto edge = [](double inside, double outside, const auto& holds) {
    if (holds(outside)) return outside;
    for (int i = 0; i < 30; ++i) {
      const double between = std::sqrt(inside * outside);
      (holds(between) ? inside : outside) = between;
    }
    return outside;
  };
  const limit_range before = space.rate;
  space.rate = {edge(before.high, before.low, enough), edge(before.low, before.high, refuses)};
  return space.rate.low <= space.rate.high;
}

bool limit_evidence::narrow_many(bucket_space& space, const arrival_curves& seen,
                                 const refusals& refused) {
  constexpr int points = 300;
  const double step = std::log(space.rate.high / space.rate.low) / points;
  limit_range rates{unbounded, 0};
  limit_range bursts{unbounded, 0};
  for (int i = 0; i <= points; ++i) {
    const double rate = space.rate.low * std::exp(step * i);
    const double least = std::max(least_burst(seen, rate * a_second), any_burst_from);
    const double below = burst_bound(seen, refused.calls, rate * a_second);
    if (least > below) continue;
    rates = {std::min(rates.low, rate), std::max(rates.high, rate)};
    bursts = {std::min(bursts.low, least), std::max(bursts.high, below)};
  }
  if (rates.high == 0) return false;
  space.rate = {std::max(space.rate.low, rates.low * std::exp(-step)),
                std::min(space.rate.high, rates.high * std::exp(step))};
  space.bursts = bursts;
  return true;
}

bool limit_evidence::alike(const log_space& a, const log_space& b) {
  return a.failed_count == b.failed_count && a.refused_count == b.refused_count;
}
bool limit_evidence::alike(const minute_space& a, const minute_space& b) {
  return a.failed_count == b.failed_count;
}

template <class Space>
std::optional<limit_estimate> limit_evidence::limits_of(const std::vector<Space>& spaces) const {
  std::optional<limit_estimate> found;
  limit_range likely;
  const Space* first = nullptr;
  for (const auto& space : spaces) {
    if (!asked(space.failed_count)) continue;
    if (!found) {
      found.emplace().all = likely = space.limit;
      first = &space;
    }
    found->all.widen(space.limit);
    if (alike(space, *first)) likely.widen(space.limit);
  }
  if (found) found->likely = likely.middle();
  return found;
}

std::optional<limit_estimate> limit_evidence::sliding() const {
  return limits_of(logs_);
}
std::optional<limit_estimate> limit_evidence::fixed() const {
  return limits_of(minutes_);
}

std::optional<limit_evidence::bucket_ranges> limit_evidence::bucket() const {
  std::optional<bucket_ranges> found;
  limit_range likely;
  bool failed_count = true;
  for (const auto& space : buckets_) {
    if (!asked(space.failed_count)) continue;
    if (!found) {
      found = bucket_ranges{{space.rate, 0}, space.bursts};
      likely = space.rate;
      failed_count = space.failed_count;
    }
    found->rate.all.widen(space.rate);
    found->burst.widen(space.bursts);
    if (space.failed_count == failed_count) likely.widen(space.rate);
  }
  if (found) found->rate.likely = std::sqrt(likely.low * likely.high);
  return found;
}

double most_in_a_minute(const arrival_curves& seen) {
  double most = 0;
  for (const double x : seen.heads)
    most = std::max(most, seen.arrived_by(x) - seen.started_by(x - minute));
  return most;
}

arrival_curves admitted_calls(const std::vector<limit_call>& calls, bool with_failed) {
  arrival_curves seen;
  for (const auto& one : calls) {
    if (one.how != call_outcome::accepted && !(with_failed && one.how == call_outcome::failed))
      continue;
    seen.starts.push_back(one.start);
    seen.heads.push_back(one.head);
  }
  std::sort(seen.starts.begin(), seen.starts.end());
  std::sort(seen.heads.begin(), seen.heads.end());
  return seen;
}

}  // namespace sluice::bench
