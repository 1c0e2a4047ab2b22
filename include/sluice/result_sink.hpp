#pragma once

#include <cstddef>

#include "sluice/result.hpp"

namespace sluice {

/// Where a run puts what it finds out. put() may be called from the reader's thread and from the
/// event loop's, the rest from the event loop's alone. May throw fatal_error when results cannot be
/// written.
class result_sink {
 public:
  virtual ~result_sink() = default;
  /// An attempt of that job goes out; `retry`: it is not the request's first.
  virtual void attempt_started(std::size_t job, bool retry) = 0;
  /// An attempt was sent whole and ended in neither a result nor an HTTP error: it may have been
  /// billed.
  virtual void attempt_lost(std::size_t job) = 0;
  virtual void put(result&& finished) = 0;
  /// What was put stands in the files when this returns.
  virtual void flush() = 0;
};

}  // namespace sluice
