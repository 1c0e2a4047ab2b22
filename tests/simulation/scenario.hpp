#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "simulated_files.hpp"
#include "simulated_relay.hpp"
#include "sluice/config.hpp"
#include "sluice/prices.hpp"

namespace sluice::simulation {

/// What happens to the window file while it is in use.
enum class window_loss : std::uint8_t { none, folder_moved, file_moved, cut };

/// The flags of one process, the faults that happen to it, and how it ends if it does not end by
/// itself. All durations without another comment count from the start of the process.
struct process_plan {
  disk_faults disk;
  std::optional<duration> killed_after;
  std::optional<duration> stopped_after;    ///< by a signal
  duration grace{};                         ///< from the signal to the abort of attempts in flight
  std::optional<duration> wall_step_after;  ///< when the wall clock is set
  double wall_step = 0;
  bool power_cut = false;  ///< the power fails at its end
  duration until_next{};   ///< from its end to the start of the next process

  unsigned edited = 0;        ///< number of requests that are changed before it starts
  bool fresh = false;         ///< --fresh
  bool retry_failed = false;  ///< --retry-failed
  bool neighbour = false;     ///< another process uses the same window meanwhile
  window_loss loss = window_loss::none;
  duration lost_after{};
};

/// What a life is about.
enum class theme : std::uint8_t {
  any,         ///< every kind of fault; many lives without a budget
  dear_bills,  ///< any fault, a budget, and a relay that bills by a tariff, often the highest price
  /// A job of similar requests, without faults. The budget is fifty times the highest cost of one
  /// request.
  like_requests,
  /// Some replies have the wrong shape, and processes get kills and signals. The disk has no other
  /// faults, and the power never fails.
  shapes
};

/// Everything about one life of a few jobs, derived from a seed: the jobs and options, the relay,
/// and the faults of each process that works on the jobs. After these processes, processes without
/// faults run until the jobs are complete.
struct scenario {
  explicit scenario(std::uint64_t seed, theme about = theme::any);

  std::vector<std::string> jobs;                   ///< the text of each job
  bool first_on_stdin = false;                     ///< the first job comes from stdin
  std::set<std::string> requests;                  ///< custom_ids of all good lines
  std::vector<std::set<std::uint64_t>> bad_lines;  ///< the numbers of bad lines in each job
  config options;
  price_table prices;
  usd dearest_attempt;  ///< not less than the highest reservation of an attempt
  relay_character relay;
  bool shares_window = false;           ///< processes share their rate limit windows
  std::vector<unsigned> caps;           ///< starts per minute for each window; 0: no limit
  on_change changed = on_change::redo;  ///< used after requests have changed
  std::vector<process_plan> processes;
  process_plan last;         ///< a process without faults
  std::uint64_t chance = 0;  ///< the seed for random events during the life
};

}  // namespace sluice::simulation
