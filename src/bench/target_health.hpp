#pragma once

#include <optional>
#include <string>

#include "sluice/clock.hpp"
#include "sluice/error.hpp"

namespace sluice::bench {

/// When a target is left alone: a benchmark does not retry, and goes on past failures, but not
/// where every further request would fare alike. Pure.
class target_health {
 public:
  struct stop {
    /// The address, the certificate or the proxy is not what it should be.
    bool misconfigured = false;
    std::string sentence;  ///< what happened, for a person
  };

  /// So many requests that meet the same end before any success are enough.
  static constexpr unsigned enough = 3;
  /// So many in a row without a connection, where there was one before.
  static constexpr unsigned gone = 20;

  void succeeded();
  /// Nothing: go on.
  std::optional<stop> failed(const failure& why, duration max_wait);

 private:
  bool served_ = false;
  unsigned unreachable_ = 0;  // in a row
  unsigned key_refusals_ = 0;
  unsigned misplaced_ = 0;
  unsigned refused_ = 0;
};

}  // namespace sluice::bench
