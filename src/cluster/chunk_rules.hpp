#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cluster/job_store.hpp"

namespace sluice::cluster {

// The rules for changes of a chunk and of its job's budget. The stores load the records, apply
// these rules and save the records. Pure.

/// Returns the number of lines per chunk: small enough that every worker gets some, and at most
/// 1,000.
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
  usd reserved;                ///< the part of the job's budget that is reserved for it
  /// If the budget did not cover any line of the chunk: the smallest reservation that one of its
  /// lines needs.
  std::optional<usd> needs;
  work_counters sums;

  std::uint64_t lines() const noexcept { return last - first + 1; }
};

/// The change of a job's budget; zero without a budget.
struct money_change {
  usd spent;     ///< increase of the spent amount
  usd released;  ///< decrease of the reserved amount
};

/// Leases the chunk. `open`: reservations of the last holder's attempts that have not ended.
money_change take_lease(chunk_record& chunk, const std::string& worker,
                        const std::vector<usd>& open);
/// Applies the changes that the chunk's holder reports.
money_change apply(chunk_record& chunk, const chunk_changes& changes, bool has_budget);
/// Returns how many lines, counted from the first, the budget covers.
std::size_t lines_that_fit(const job_record& job, const std::vector<line_reserve>& lines) noexcept;
/// Returns the unused part of the job's budget; nothing if the job has no budget.
std::optional<usd> money_left(const job_record& job) noexcept;
/// Reserves money for the first lines, as far as the budget goes. If it covers no line, the chunk
/// waits until there is more money. `rest`: the line at which to split the chunk so that the other
/// lines can run.
std::size_t reserve_lines(chunk_record& chunk, job_record& job,
                          const std::vector<line_reserve>& lines,
                          std::optional<std::uint64_t>& rest);
/// Makes a new chunk, without a lease, from the lines from `first` on. `finished`: the number of
/// these lines with a result.
chunk_record split(chunk_record& chunk, std::uint64_t first, std::int64_t number,
                   std::uint64_t finished);

}  // namespace sluice::cluster
