#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "cluster/job_store.hpp"
#include "sluice/clock.hpp"

namespace sluice::cluster {

/// Which leases of other workers have run out, as one worker sees it. Pure: takes its own time,
/// which no one sets.
///
/// A lease ends by the clock of the database. If that is set forward, leases of healthy workers
/// seem to have run out, and if it is set back, those of dead workers go on for longer. So a worker
/// goes by the time that the last answer told, plus what has passed since by its own time. When the
/// next answer tells something else, the clock was set: then, for the length of a lease, only what
/// it has seen itself counts. At any time, a lease that was not renewed for its whole length, while
/// this worker looked, has run out.
class lease_watch {
 public:
  /// Two clocks may differ by this, and by one part in a thousand of the time that has passed,
  /// without a step of one of them.
  static constexpr duration slack = std::chrono::milliseconds{500};

  /// Says in the request which leases have run out. `now` is before the call.
  void ask(claim_request& request, time_point now) const;
  /// The call began at `begun` and has ended `now`.
  void learn(const claim_request& request, const claim_answer& answer, time_point begun,
             time_point now);

 private:
  struct sighting {
    leased_chunk chunk;
    time_point since{};
  };
  std::map<lease_key, sighting> seen_;
  std::optional<std::int64_t> last_now_;  // of the database
  time_point last_begun_{};
  time_point last_ended_{};
  time_point doubt_until_{};
};

}  // namespace sluice::cluster
