#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "sluice/job.hpp"

namespace sluice {

/// Gives a run its requests. The engine calls next() on a separate thread. For the other calls the
/// comments below name the thread.
class request_source {
 public:
  virtual ~request_source() = default;
  /// The next request; nothing at the end. May block (a pipe). May throw fatal_error, which ends
  /// the run.
  virtual std::optional<request> next() = 0;
  /// No more requests are needed: a next() that blocks must return nothing soon. Called from any
  /// thread.
  virtual void cancel() = 0;
  /// A text that makes the idempotency keys of this job different from those of all other jobs. It
  /// must be the same after a resume. Called from any thread.
  virtual std::string_view identity(std::size_t job) const = 0;

  /// A request that next() has given begins to wait for something before its next attempt, for
  /// example the end of a backoff; or this wait is over. A source that limits the number of
  /// requests in work does not count it meanwhile. Called from the event loop's thread.
  virtual void wait_began() {}
  virtual void wait_ended() {}

  /// The run has given up a job, or a model in all jobs, and continues with the others: the
  /// requests of it that next() gives stay pending. `why`: a sentence. gave_up_job() returns true
  /// if the source has told the user. Called from the event loop's thread.
  virtual bool gave_up_job(std::size_t job, std::string_view why) {
    (void)job, (void)why;
    return false;
  }
  virtual void gave_up_model(std::string_view model) { (void)model; }

  /// Number of jobs that the requests come from. A run stops when it has given up all of them.
  virtual std::size_t jobs() const { return 1; }
  /// True if the requests are known to name more than one model.
  virtual bool has_several_models() const { return false; }
  /// Whether a request of the job succeeded in an earlier run. If `model` is not empty, only
  /// requests for that model count. Called from the event loop's thread.
  virtual bool had_success(std::size_t job, std::string_view model) const {
    (void)job, (void)model;
    return false;
  }
  /// Takes up to `count` requests from the rest of the job, spread evenly over it; next() will skip
  /// them. Calls `done` once, from any thread; with an empty list if it cannot look ahead. Called
  /// from the event loop's thread.
  virtual void look_ahead(std::size_t job, std::size_t count,
                          const std::function<void(std::vector<request>)>& done) {
    (void)job, (void)count;
    done({});
  }
};

}  // namespace sluice
