#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cluster/job_store.hpp"

namespace sluice::cluster {

// What a chunk and its job's budget become by each change; the stores load the records, apply these
// and save them. Pure.

/// Lines of a chunk: so few that every worker gets some, and at most 1,000.
std::uint64_t usual_chunk_lines(std::uint64_t lines) noexcept;

enum class chunk_state : std::uint8_t { free = 0, leased = 1, done = 2 };

struct chunk_record {
  job_id job = 0;
  std::int64_t number = 0;
  std::int64_t block = 0;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  chunk_state state = chunk_state::free;
  std::int64_t epoch = 0;
  std::string worker;
  std::uint64_t finished = 0;  ///< lines that have a result
  usd reserved;                ///< of the job's budget
  /// The least that one of its lines may cost, if there was not enough for any.
  std::optional<usd> needs;
  work_counters sums;

  std::uint64_t lines() const noexcept { return last - first + 1; }
};

/// Money of a job's budget that a change moves; zero without a budget.
struct money_change {
  usd spent;     ///< more
  usd released;  ///< fewer reserved
};

/// Leases the chunk. `open`: the reservations of attempts of the last holder that have not ended.
money_change take_lease(chunk_record& chunk, const std::string& worker,
                        const std::vector<usd>& open);
/// Applies the changes of the chunk's holder.
money_change apply(chunk_record& chunk, const chunk_changes& changes, bool has_budget);
/// How many of the first lines fit into the budget.
std::size_t lines_that_fit(const job_record& job, const std::vector<line_reserve>& lines) noexcept;
/// What is left of the job's budget; unset: it has none.
std::optional<usd> money_left(const job_record& job) noexcept;
/// Reserves money for the first of the lines that fit. If none does, the chunk waits until there is
/// more. `rest`: the line from which on the chunk should be split, if its other lines go on.
std::size_t reserve_lines(chunk_record& chunk, job_record& job,
                          const std::vector<line_reserve>& lines,
                          std::optional<std::uint64_t>& rest);
/// The lines from `first` on become a chunk of their own, without a lease. `finished`: of these.
chunk_record split(chunk_record& chunk, std::uint64_t first, std::int64_t number,
                   std::uint64_t finished);

}  // namespace sluice::cluster
