#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

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
};

}  // namespace sluice
