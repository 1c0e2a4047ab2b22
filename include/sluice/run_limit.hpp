#pragma once

#include <cstdint>
#include <memory>

#include "sluice/clock.hpp"

namespace sluice {

class start_gate;

/// A limit that several runs of one engine share, for example all runs of one user. It applies in
/// addition to the limits of the relays. Not thread safe: use it on the event loop's thread. It
/// must outlive its runs.
class run_limit {
 public:
  /// The most attempts, and the most tokens, that start in any 60 s; 0: no limit.
  /// `time` must be the engine's clock.
  run_limit(clock& time, unsigned requests_per_minute, std::uint64_t tokens_per_minute);
  ~run_limit();
  run_limit(const run_limit&) = delete;
  run_limit& operator=(const run_limit&) = delete;

  /// Replaces the limits from now on. Earlier starts still count.
  void set(unsigned requests_per_minute, std::uint64_t tokens_per_minute);
  /// For the engine: the gate at which attempts wait.
  start_gate& gate() noexcept { return *gate_; }

 private:
  std::unique_ptr<start_gate> gate_;
};

}  // namespace sluice
