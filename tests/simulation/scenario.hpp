#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "simulation/simulated_files.hpp"
#include "sluice/request_source.hpp"
#include "sluice/result_sink.hpp"

namespace sluice::simulation {

/// What is broken on purpose, to show that the seeds find it.
struct flaw {
  simulated_files::flaws disk;
  /// Puts something between the engine and the sink; null: nothing.
  std::function<std::unique_ptr<result_sink>(result_sink&)> sink;
  /// The limit that the engine is told; the relay's own stays.
  unsigned limit_beyond = 0;
  double window_margin_s = 1;
};

/// What became of one seed.
struct verdict {
  std::optional<std::string> broken;  ///< the invariant that does not hold, and how
  std::uint64_t trace = 0;            ///< a hash over all that happened, in its order
  unsigned lives = 0;                 ///< processes that ran
  unsigned kills = 0;
  unsigned power_cuts = 0;
  std::uint64_t attempts = 0;
};

/// Plays the life of a few small jobs: runs, kills, power cuts, signals, full and sick disks, a
/// relay that refuses, stalls and cuts, and runs again until all is done; everything by the seed,
/// in virtual time. After each run what must always hold is held against the files, the relay's
/// window and its bill. `folder` is the seed's own, on a real disk: the jobs stand there, and the
/// shared limit.
verdict play(std::uint64_t seed, const std::string& folder, const flaw& broken = {},
             const std::function<void(const std::string&)>& tell = {});

}  // namespace sluice::simulation
