#include "cluster/lease_watch.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "cluster/clock_drift.hpp"

namespace sluice::cluster {

// A healthy worker renews its leases when less than half of their length has passed. So without an
// answer for a shorter time than this, no lease of a healthy worker has ended. This is why all
// workers must have leases of the same length.
bool lease_watch::had_no_answer(duration lease, time_point now) const {
  return last_now_ && now - last_ended_ > lease / 2;
}

// For the length of the longest lease, the clock of the database ends no lease.
void lease_watch::doubt(duration lease, time_point now) {
  duration longest = lease;
  for (const auto& [key, one] : seen_) longest = std::max(longest, one.chunk.length);
  doubt_until_ = now + longest;
}

void lease_watch::ask(claim_request& request, time_point now) const {
  if (had_no_answer(request.lease, now)) {
    request.over_before = 0;
    return;
  }
  if (last_now_) {
    request.over_before = now < doubt_until_ ? 0 : *last_now_ + micros(now - last_ended_);
  }
  for (const auto& [key, one] : seen_) {
    if (now - one.since >= one.chunk.length) request.silent.push_back(one.chunk);
  }
}

void lease_watch::learn_time(std::int64_t database_now, duration lease, time_point begun,
                             time_point now) {
  // A later call was answered first. The clock may have been set between the two, which the next
  // answer shows.
  if (last_now_ && begun < last_begun_) return;
  if (had_no_answer(lease, now)) {
    doubt(lease, now);
    for (auto& [key, one] : seen_) one.since = now;
  }
  if (last_now_) {
    const std::int64_t passed = database_now - *last_now_;
    const std::int64_t least = micros(begun - last_ended_);
    const std::int64_t most = micros(now - last_begun_);
    const std::int64_t allowed = micros(slack) + most / clock_drift;
    if (passed < least - allowed || passed > most + allowed) doubt(lease, now);
  }
  last_now_ = database_now;
  last_begun_ = begun;
  last_ended_ = now;
}

void lease_watch::learn(const claim_request& request, const claim_answer& answer, time_point begun,
                        time_point now) {
  learn_time(answer.now, request.lease, begun, now);
  if (answer.got) return;  // in this case the answer does not list the leases
  std::map<lease_key, sighting> seen;
  for (const leased_chunk& one : answer.leased) {
    const auto before = seen_.find(one.key);
    const bool same = before != seen_.end() && before->second.chunk.until == one.until;
    seen[one.key] = {one, same ? before->second.since : now};
  }
  seen_ = std::move(seen);
}

}  // namespace sluice::cluster
