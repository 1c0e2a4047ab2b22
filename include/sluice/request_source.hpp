#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "sluice/job.hpp"

namespace sluice {

/// Where a run gets its requests from; read by one thread of its own.
class request_source {
 public:
  virtual ~request_source() = default;
  /// The next request to send; nothing at the end. May block (a pipe), and may throw fatal_error,
  /// which ends the run.
  virtual std::optional<request> next() = 0;
  /// No more is wanted: a next() that waits for input returns nothing soon. From any thread.
  virtual void cancel() = 0;
  /// What sets the idempotency keys of that job apart from every other job's; the same when the job
  /// is resumed. From any thread.
  virtual std::string_view identity(std::size_t job) const = 0;

  /// How many jobs its requests come from.
  virtual std::size_t jobs() const { return 1; }
  /// Whether its requests are known to ask for more than one model.
  virtual bool has_several_models() const { return false; }
  /// Whether a request of the job had succeeded before this run; where `model` is not empty, one
  /// that asked for that model. From the event loop's thread.
  virtual bool had_success(std::size_t job, std::string_view model) const {
    (void)job, (void)model;
    return false;
  }
  /// Takes up to `count` requests of the job from far behind the one that next() gives next, spread
  /// over the rest of it; next() passes over them later. Called from the event loop's thread, and
  /// calls `done` once, from any thread; with none where it cannot look ahead.
  virtual void look_ahead(std::size_t job, std::size_t count,
                          const std::function<void(std::vector<request>)>& done) {
    (void)job, (void)count;
    done({});
  }
};

}  // namespace sluice
