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

/// What becomes of the file that the window lives in, while it is used.
enum class window_loss : std::uint8_t { none, folder_moved, file_moved, cut };

/// What one process is asked for, what befalls it, and how it ends, if not by itself.
struct process_plan {
  disk_faults disk;
  std::optional<duration> killed_after;     ///< since it began
  std::optional<duration> stopped_after;    ///< by a signal
  duration grace{};                         ///< then, until what is in flight is given up
  std::optional<duration> wall_step_after;  ///< the wall clock is set
  double wall_step = 0;
  bool power_cut = false;  ///< when it dies, or has ended, the power goes as well
  duration until_next{};   ///< before the next one begins

  unsigned edited = 0;        ///< requests of the jobs that are changed before it begins
  bool fresh = false;         ///< --fresh
  bool retry_failed = false;  ///< --retry-failed
  bool neighbour = false;     ///< another process uses the same window meanwhile
  window_loss loss = window_loss::none;
  duration lost_after{};  ///< since it began
};

/// One life of a few jobs, all of it derived from the seed: what is asked for, what the world is
/// like, and what befalls the processes that work on it. After those come some that nothing
/// befalls, until the jobs are complete.
struct scenario {
  explicit scenario(std::uint64_t seed);

  std::vector<std::string> jobs;                   ///< the text of each
  bool first_on_stdin = false;                     ///< the first of them is given on stdin
  std::set<std::string> requests;                  ///< custom_ids of all good lines
  std::vector<std::set<std::uint64_t>> bad_lines;  ///< of each job, by number
  config options;
  price_table prices;
  usd dearest_attempt;  ///< no attempt of the jobs can be reserved at more
  relay_character relay;
  bool shares_window = false;           ///< processes find what those before them have started
  std::vector<unsigned> caps;           ///< of each window, a minute; 0: none
  on_change changed = on_change::redo;  ///< once requests have been changed
  std::vector<process_plan> processes;
  process_plan last;         ///< nothing befalls it
  std::uint64_t chance = 0;  ///< seed of what happens on the way
};

}  // namespace sluice::simulation
