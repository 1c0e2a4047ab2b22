#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "cluster/job_store.hpp"
#include "sluice/clock.hpp"

namespace sluice::cluster {

/// Decides for one worker which leases of other workers have expired. Pure: takes the worker's own
/// time, which is never set.
///
/// A lease ends by the clock of the database. If that clock is set forward, leases of healthy
/// workers seem to have expired. If it is set back, leases of dead workers last longer. So the
/// worker calculates the database's time: the time in the last answer, plus the time that has
/// passed since by its own clock. If the next answer has a different time, the clock was set. Then,
/// for the length of a lease, only what the worker has seen itself counts. Answers to all calls
/// count: between two claims, the clock may be set back and forward again, and leases that are
/// renewed in between end too early. At any time, a lease has
/// expired if this worker has watched it for its whole length without a renewal.
///
/// While the database does not answer, no worker can renew a lease. So after a long time without an
/// answer no lease has expired, and the worker begins to watch all of them anew.
class lease_watch {
 public:
  /// Two clocks may differ by this plus one thousandth of the time that has passed. A larger
  /// difference means that one of them was set.
  static constexpr duration slack = std::chrono::milliseconds{500};

  /// Sets in the request which leases have expired. `now`: before the call.
  void ask(claim_request& request, time_point now) const;
  /// Learns from an answer. The call began at `begun` and ended at `now`.
  void learn(const claim_request& request, const claim_answer& answer, time_point begun,
             time_point now);
  /// Learns the database's time from any other call. `lease`: length of this worker's leases.
  void learn_time(std::int64_t database_now, duration lease, time_point begun, time_point now);

 private:
  bool had_no_answer(duration lease, time_point now) const;
  void doubt(duration lease, time_point now);

  struct sighting {
    leased_chunk chunk;
    time_point since{};
  };
  std::map<lease_key, sighting> seen_;
  std::optional<std::int64_t> last_now_;  // the database's time in the last answer
  time_point last_begun_{};
  time_point last_ended_{};
  time_point doubt_until_{};
};

}  // namespace sluice::cluster
