#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "sluice/clock.hpp"
#include "sluice/money.hpp"
#include "sluice/result_sink.hpp"
#include "store/batch_record.hpp"

namespace sluice::cluster {

using job_id = std::int64_t;

/// Thrown if another version of this program made the database, or upgraded it while it was in use.
class other_version : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Sums over the chunks of a job, or of one chunk.
struct work_counters {
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0;  ///< including bad lines
  std::uint64_t attempts = 0;
  std::uint64_t retries = 0;
  /// Attempts that ended without a result and without an HTTP error.
  std::uint64_t maybe_billed = 0;
  usd cost;  ///< cost of the results that have a price
  /// Reservations of a job with a budget that are kept, because a cost is unknown or estimated.
  usd kept;

  work_counters& operator+=(const work_counters& more) noexcept;
  bool operator==(const work_counters&) const = default;
};

/// A new job, as enqueue describes it.
struct new_job {
  std::string name;
  /// Makes the job's idempotency keys different from those of other jobs.
  std::string identity;
  /// Fingerprint of the requests. It is the same for the same file with the same flags.
  std::string fingerprint;
  std::uint64_t lines = 0;  ///< including bad lines
  std::optional<usd> budget;
};

struct job_record {
  job_id id = 0;
  std::string name;
  std::string identity;
  std::string fingerprint;
  std::uint64_t lines = 0;
  std::uint64_t blocks = 0;  ///< number of blocks stored so far
  bool ready = false;        ///< all its blocks are stored
  bool finished = false;     ///< every line has its result
  /// Whether the simulator serves the job; nothing if no worker has begun.
  std::optional<bool> simulated;
  std::optional<usd> budget;
  /// The spent part of the budget: costs, and reservations that are kept for attempts of unknown
  /// outcome.
  usd spent;
  usd reserved;            ///< the part of the budget reserved for the lines of leased chunks
  bool exhausted = false;  ///< the rest of the budget does not cover another line
  double created_at = 0;   ///< this and the following are Unix times by the database's clock
  std::optional<double> started_at;
  std::optional<double> finished_at;
};

/// A line that has its result, as one line of the output file or errors file, without its newline.
struct finished_line {
  std::uint64_t line = 0;
  bool succeeded = false;
  std::string text;
};

/// Lines of a job that are stored together. A chunk with the same lines belongs to the block.
struct line_block {
  std::uint64_t number = 0;  ///< counts from 0
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::string requests;                  ///< packed_requests
  std::vector<finished_line> bad_lines;  ///< lines that can never be sent
};

/// Identifies a lease of a chunk. If another worker takes the chunk over, its lease has a higher
/// epoch.
struct lease_key {
  job_id job = 0;
  std::int64_t chunk = 0;
  std::int64_t epoch = 0;

  bool operator==(const lease_key&) const = default;
  bool operator<(const lease_key& other) const noexcept {
    return std::tie(job, chunk, epoch) < std::tie(other.job, other.chunk, other.epoch);
  }
};

/// A chunk that this worker has leased.
struct lease {
  lease_key key;
  job_record job;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::string requests;                 ///< the packed block that contains its lines
  std::vector<std::uint64_t> finished;  ///< lines with a result, ascending
  /// Number of attempts of earlier holders, by line.
  std::map<std::uint64_t, std::uint32_t> attempts;
  bool had_success = false;  ///< a request of the job has succeeded, at any worker
};

/// A lease of another worker, as a claim has read it.
struct leased_chunk {
  lease_key key;
  /// End of the lease by the database's clock, in microseconds since the epoch.
  std::int64_t until = 0;
  duration length{};  ///< measured from the last renewal
};

struct claim_request {
  std::string worker;
  duration lease{};
  bool simulated = false;
  job_id after = 0;             ///< the job of the last chunk; other jobs come first
  std::vector<lease_key> held;  ///< the leases of the worker; it never takes these over
  /// Chunks of silent workers come first, to free the budget that is reserved for them.
  bool relieve_first = false;
  /// A lease has expired if it ended before this time and before the current time, both by the
  /// database's clock. Nothing: only the current time counts. See lease_watch.hpp.
  std::optional<std::int64_t> over_before = {};
  /// These leases have expired too, unless they were renewed since.
  std::vector<leased_chunk> silent = {};
  /// Jobs and chunks that the worker leaves to others. They do not count as more to come. If the
  /// lease of such a chunk has expired, it is leased all the same, to free the money reserved for
  /// it.
  std::vector<job_id> skipped_jobs = {};
  std::vector<std::pair<job_id, std::int64_t>> skipped_chunks = {};
};

/// The result of a claim.
struct claim_answer {
  std::optional<lease> got;
  /// There are other lines without a result, besides those that the worker has leased.
  bool more_to_come = false;
  /// Names of ready jobs that wait only because their budget is used up.
  std::vector<std::string> exhausted;
  /// If an expired lease was taken over: the number of its attempts that now count as maybe billed.
  std::uint64_t relieved_attempts = 0;
  std::int64_t now = 0;  ///< time of the database, in microseconds since the epoch
  /// If no chunk was leased: the leases of the unfinished jobs.
  std::vector<leased_chunk> leased;
};

/// The result of reserving budget for lines of a chunk.
struct reserve_answer {
  bool lost = false;      ///< the chunk belongs to another worker
  std::size_t lines = 0;  ///< number of lines, from the first on, that got a reservation
  /// No line got a reservation, and no other reservation can free money.
  bool exhausted = false;
};
struct line_reserve {
  std::uint64_t line = 0;
  usd most;
};

struct started_attempt {
  std::uint64_t line = 0;
  std::uint32_t number = 0;
  usd most;  ///< zero without a budget
};
struct ended_attempt {
  std::uint64_t line = 0;
  std::uint32_t number = 0;
  attempt_end how = attempt_end::answered;
  usd most;
};
struct new_result {
  finished_line line;
  usd most;  ///< the reservation, which ends
  usd cost;
  usd kept;  ///< the part of the reservation that is kept, because the cost is unknown or estimated
};

/// The changes of one chunk that a worker must store.
struct chunk_changes {
  lease_key key;
  std::vector<started_attempt> started;
  std::vector<ended_attempt> ended;
  std::vector<new_result> results;
  bool release = false;  ///< the worker has finished with the chunk

  /// Apart from the release.
  bool empty() const { return started.empty() && ended.empty() && results.empty(); }
};

/// A batch of changes. If it is committed twice, the second time changes nothing.
struct change_batch {
  std::string worker;
  std::uint64_t sequence = 0;  ///< number of the worker's batch, counted from 1
  duration lease{};            ///< from now on, every chunk of the batch is leased for this long
  std::vector<chunk_changes> chunks;
};
struct commit_answer {
  /// These chunks now belong to another worker; nothing of their changes was stored.
  std::vector<lease_key> lost;
  std::int64_t now = 0;  ///< time of the database, in microseconds since the epoch
};

/// A worker's request for starts in a relay's window; see grant_rules.hpp.
struct window_call {
  std::string window;  ///< name of the window
  /// Name of the holder of the grants. A new name is used after each call with an unknown outcome.
  std::string holder;
  std::uint64_t cap = 0;          ///< most requests in any 60 s; 0: no limit
  std::uint64_t token_cap = 0;    ///< most tokens in any 60 s; 0: no limit
  std::uint64_t wanted = 0;       ///< number of starts
  std::uint64_t tokens_each = 0;  ///< estimated tokens of one start
  std::uint64_t returned = 0;     ///< starts that were granted but not used
  std::uint64_t returned_tokens = 0;
  duration valid{};  ///< how long the grant is valid
  /// The longest time from the start of an attempt, made while the grant is valid, to its arrival
  /// at the relay.
  duration reach{};
  /// Starts that have arrived at the relay by now. `age`: the minimum time since they arrived.
  struct used {
    duration age{};
    std::uint64_t starts = 0;
    std::uint64_t tokens = 0;
  };
  std::vector<used> uses;
  /// The difference between the real tokens of an earlier use and the reported ones.
  struct correction {
    std::int64_t release = 0;  ///< when the use leaves the window, by the answer's time
    std::int64_t tokens = 0;
  };
  std::vector<correction> corrections;
  std::optional<duration> pause;  ///< no worker may start anything for this long
  /// The time in the last answer. With `since_least` and `since_most`, the minimum and the maximum
  /// time since then, it shows whether the database's clock was set. Zero: there was no answer yet.
  /// Such a call grants nothing and changes nothing.
  std::int64_t last_now = 0;
  std::uint64_t clock_steps = 0;  ///< from the last answer
  duration since_least{};
  duration since_most{};
};
struct window_answer {
  std::int64_t now = 0;           ///< time of the window, in microseconds since the epoch
  std::uint64_t clock_steps = 0;  ///< how often a step of the database's clock was detected
  /// Set for a first call if others may be using the window. Then the caller should wait for their
  /// next calls, which show whether the clock was set.
  bool in_use = false;
  /// The holder is new, or was silent for too long. Its earlier grants count as used, and its
  /// report of uses was ignored.
  bool began_anew = false;
  std::uint64_t granted = 0;
  std::uint64_t granted_tokens = 0;
  /// The time from now until the next slot is free; nothing if it is unknown.
  std::optional<duration> next;
  duration paused{};  ///< for how long no worker may start anything
  std::uint64_t held_by_others = 0;
};

/// The state of jobs on which several machines work. Thread safe. Every call is one transaction,
/// and blocks. Throws store::store_error if the database cannot be used now; the caller may repeat
/// the call later. Throws other_version if the caller must not continue.
class job_store {
 public:
  job_store() = default;
  job_store(const job_store&) = delete;
  job_store& operator=(const job_store&) = delete;
  virtual ~job_store() = default;

  // Jobs: for the commands enqueue, collect and jobs.

  /// Adds the job. If the name exists, returns the stored job, which may be a different one.
  virtual job_record add_job(const new_job& job) = 0;
  /// Stores a block and its chunk. Does nothing if the block is already stored.
  virtual void add_block(job_id job, const line_block& block) = 0;
  /// Marks the job as ready: all blocks are stored, and workers may begin.
  virtual void make_ready(job_id job) = 0;
  /// Changes the budget. What the job has cost until now counts. Returns false, and changes
  /// nothing, if workers hold chunks that they leased without a budget.
  virtual bool set_budget(job_id job, std::optional<usd> budget) = 0;
  virtual std::optional<job_record> find_job(std::string_view name) = 0;
  struct listed_job {
    job_record job;
    work_counters sums;
    std::uint64_t leased_chunks = 0;  ///< chunks with a lease that has not ended
    std::uint64_t open_chunks = 0;    ///< chunks that are not finished, including the leased ones
    std::uint64_t workers = 0;        ///< workers with such a lease
  };
  /// Returns the jobs in the order in which they were added.
  virtual std::vector<listed_job> list_jobs() = 0;
  virtual work_counters counters(job_id job) = 0;
  /// Returns at most `most` finished lines, in the order of the job, starting with line `from`.
  virtual std::vector<finished_line> read_results(job_id job, std::uint64_t from,
                                                  std::size_t most) = 0;
  /// Returns the highest number of attempts that were recorded in 60 consecutive seconds.
  virtual std::uint64_t most_in_a_minute(job_id job) = 0;
  /// Removes the job and all its data.
  virtual void remove_job(job_id job) = 0;

  // Work on chunks.

  /// Leases a chunk without a lease, or one with an expired lease. In the second case, the attempts
  /// that the last holder had in flight count as maybe billed, and their reservations are kept.
  virtual claim_answer claim(const claim_request& request) = 0;
  /// Reserves money for the first of the lines, as many as the budget covers. If `split` is true,
  /// the lines of the chunk from the first uncovered one on go back to the queue.
  virtual reserve_answer reserve(const lease_key& key, const std::vector<line_reserve>& lines,
                                 bool split) = 0;
  /// Stores the changes, and extends the leases.
  virtual commit_answer commit(const change_batch& batch) = 0;

  // The window of a relay.

  virtual window_answer call_window(const window_call& call) = 0;
};

}  // namespace sluice::cluster
