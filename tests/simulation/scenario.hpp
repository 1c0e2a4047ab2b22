#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "simulated_files.hpp"
#include "simulated_relay.hpp"
#include "sluice/config.hpp"
#include "sluice/money.hpp"

namespace sluice::simulation {

/// How one process ends, if not by itself.
struct process_plan {
  disk_faults disk;
  std::optional<duration> killed_after;     ///< since it began
  std::optional<duration> stopped_after;    ///< by a signal
  duration grace{};                         ///< then, until what is in flight is given up
  std::optional<duration> wall_step_after;  ///< the wall clock is set
  double wall_step = 0;
  bool power_cut = false;  ///< when it dies, or has ended, the power goes as well
  duration until_next{};   ///< before the next one begins
};

/// One life of a few jobs, all of it derived from the seed: what is asked for, what the world is
/// like, and what befalls the processes that work on it. After those come some that nothing
/// befalls, until the jobs are complete.
struct scenario {
  explicit scenario(std::uint64_t seed);

  std::vector<std::string> jobs;                   ///< the text of each
  std::set<std::string> requests;                  ///< custom_ids of all good lines
  std::vector<std::set<std::uint64_t>> bad_lines;  ///< of each job, by number
  config options;
  price_table prices;
  usd dearest_attempt;  ///< no attempt of the jobs can be reserved at more
  relay_character relay;
  std::vector<process_plan> processes;
  std::uint64_t chance = 0;  ///< seed of what happens on the way
};

}  // namespace sluice::simulation
