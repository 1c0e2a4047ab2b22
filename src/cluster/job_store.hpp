#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "sluice/clock.hpp"
#include "sluice/money.hpp"
#include "sluice/result_sink.hpp"
#include "store/batch_record.hpp"

namespace sluice::cluster {

using job_id = std::int64_t;

/// The database was made by another version of this program, or was upgraded while in use.
class other_version : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The sums over the chunks of a job, or of one chunk.
struct work_counters {
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0;  ///< bad lines included
  std::uint64_t attempts = 0;
  std::uint64_t retries = 0;
  std::uint64_t maybe_billed = 0;  ///< attempts with neither a result nor an HTTP error
  usd cost;                        ///< of the results that have a price
  usd kept;                        ///< of a budget: the most that such attempts may cost

  work_counters& operator+=(const work_counters& more) noexcept;
  bool operator==(const work_counters&) const = default;
};

/// A job as it is announced by enqueue.
struct new_job {
  std::string name;
  std::string identity;     ///< makes its idempotency keys different from those of other jobs
  std::string fingerprint;  ///< of its requests; the same file with the same flags has the same
  std::uint64_t lines = 0;  ///< bad ones included
  std::optional<usd> budget;
};

struct job_record {
  job_id id = 0;
  std::string name;
  std::string identity;
  std::string fingerprint;
  std::uint64_t lines = 0;
  std::uint64_t blocks = 0;       ///< stored so far
  bool ready = false;             ///< all its blocks are stored
  bool finished = false;          ///< every line has its result
  std::optional<bool> simulated;  ///< whether the simulator serves it; unset: no worker has begun
  std::optional<usd> budget;
  usd spent;     ///< of the budget: costs, and what is kept for attempts of unknown outcome
  usd reserved;  ///< of the budget: for the lines of leased chunks
  bool exhausted = false;  ///< what is left of the budget is too small for another line
  double created_at = 0;   ///< Unix times, by the database's clock
  std::optional<double> started_at;
  std::optional<double> finished_at;
};

/// A line that has its result: one line of the output or errors file, without its newline.
struct finished_line {
  std::uint64_t line = 0;
  bool succeeded = false;
  std::string text;
};

/// Lines of a job that are stored together. Its chunk has the same lines.
struct line_block {
  std::uint64_t number = 0;  ///< counts from 0
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::string requests;                  ///< packed_requests
  std::vector<finished_line> bad_lines;  ///< lines that can never be sent
};

/// Names a lease of a chunk. Another worker that takes the chunk over gets a higher epoch.
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
  std::string requests;                             ///< the packed block that holds its lines
  std::vector<std::uint64_t> finished;              ///< lines with a result, ascending
  std::map<std::uint64_t, std::uint32_t> attempts;  ///< made by earlier holders, by line
};

/// A lease of another worker, as a claim found it.
struct leased_chunk {
  lease_key key;
  std::int64_t until = 0;  ///< by the clock of the database, in microseconds since the epoch
  duration length{};       ///< from its last renewal on
};

struct claim_request {
  std::string worker;
  duration lease{};
  bool simulated = false;
  job_id after = 0;             ///< the job that was served last: others come first
  std::vector<lease_key> held;  ///< what the worker has leased
  /// Chunks of workers that fell silent come first: the budget that is reserved for them is freed.
  bool relieve_first = false;
  /// Leases that ended before this time of the database, and before now, have run out; nothing:
  /// before now. See lease_watch.hpp.
  std::optional<std::int64_t> over_before = {};
  /// These have, too, if they were not renewed since.
  std::vector<leased_chunk> silent = {};
};

/// What a claim found.
struct claim_answer {
  std::optional<lease> got;
  /// There are lines without a result beside those that the worker has leased.
  bool more_to_come = false;
  /// Ready jobs that wait only because their budget is used up.
  std::vector<std::string> exhausted;
  /// A lease that had run out was taken over: attempts that count as maybe billed since.
  std::uint64_t relieved_attempts = 0;
  std::int64_t now = 0;  ///< of the database, in microseconds since the epoch
  /// The leases of the jobs that are left, if no chunk was got.
  std::vector<leased_chunk> leased;
};

/// How much of a budget was reserved for lines of a chunk.
struct reserve_answer {
  bool lost = false;       ///< the chunk belongs to another worker
  std::size_t lines = 0;   ///< the first lines of the request that were reserved
  bool exhausted = false;  ///< nothing was, and no other reservation can free money
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
  usd most;  ///< its reservation, which ends
  usd cost;
  usd kept;  ///< of the reservation, since the cost is unknown or estimated
};

/// What a worker has to record of one chunk.
struct chunk_changes {
  lease_key key;
  std::vector<started_attempt> started;
  std::vector<ended_attempt> ended;
  std::vector<new_result> results;
  bool release = false;  ///< the worker is done with the chunk
};

/// A batch of changes. If it is committed twice, the second time changes nothing.
struct change_batch {
  std::string worker;
  std::uint64_t sequence = 0;  ///< counts the batches of the worker from 1
  duration lease{};            ///< every chunk of the batch is leased for this long from now
  std::vector<chunk_changes> chunks;
};

/// A call for starts of a relay's window; see grant_rules.hpp.
struct window_call {
  std::string window;             ///< name of the window
  std::string holder;             ///< of the grants; a new one after each call with an unknown end
  std::uint64_t cap = 0;          ///< requests in any 60 s; 0: none
  std::uint64_t token_cap = 0;    ///< tokens in any 60 s; 0: none
  std::uint64_t wanted = 0;       ///< starts
  std::uint64_t tokens_each = 0;  ///< estimate for one start
  std::uint64_t returned = 0;     ///< starts that were granted and not used
  std::uint64_t returned_tokens = 0;
  duration valid{};  ///< how long the grant shall be valid
  duration reach{};  ///< the longest time until an attempt that began in time has arrived
  /// Starts that have arrived at the relay by now: how long ago, at the least.
  struct used {
    duration age{};
    std::uint64_t starts = 0;
    std::uint64_t tokens = 0;
  };
  std::vector<used> uses;
  /// Tokens that an earlier use took more, or fewer, than it said.
  struct correction {
    std::int64_t release = 0;  ///< when the use leaves the window, as the answer said
    std::int64_t tokens = 0;
  };
  std::vector<correction> corrections;
  std::optional<duration> pause;  ///< no worker starts anything for this long
  /// The time of the last answer, and what has passed since then, at the least and at the most:
  /// shows whether the database's clock was set. Zero: there was no answer; such a call grants
  /// nothing and changes nothing.
  std::int64_t last_now = 0;
  std::uint64_t clock_steps = 0;  ///< of the last answer
  duration since_least{};
  duration since_most{};
};
struct window_answer {
  std::int64_t now = 0;           ///< of the window, in microseconds since the epoch
  std::uint64_t clock_steps = 0;  ///< how often the database's clock was found to have been set
  /// Of the first call: others may be using the window, so it is best to wait for their next calls,
  /// which show whether the clock was set.
  bool in_use = false;
  /// The holder was silent for too long, or is new: what it held before counts as used, and what
  /// the call says of that was left out.
  bool began_anew = false;
  std::uint64_t granted = 0;
  std::uint64_t granted_tokens = 0;
  /// When the next slot is free; nothing: unknown. In time from now.
  std::optional<duration> next;
  duration paused{};  ///< how long no worker may start anything
  std::uint64_t held_by_others = 0;
};

/// Where jobs stand that several machines work on. Thread safe; every call blocks and is one
/// transaction. Throws store::store_error if the database cannot be used now; a caller may then
/// repeat the call. Throws other_version if it must not go on.
class job_store {
 public:
  job_store() = default;
  job_store(const job_store&) = delete;
  job_store& operator=(const job_store&) = delete;
  virtual ~job_store() = default;

  // Jobs, for enqueue, collect and jobs.

  /// Adds the job, or finds the one with its name, which may be another.
  virtual job_record add_job(const new_job& job) = 0;
  /// Stores a block and its chunk. Does nothing if the block is there.
  virtual void add_block(job_id job, const line_block& block) = 0;
  /// All blocks are stored: workers may begin.
  virtual void make_ready(job_id job) = 0;
  /// Another budget from now on.
  virtual void set_budget(job_id job, std::optional<usd> budget) = 0;
  virtual std::optional<job_record> find_job(std::string_view name) = 0;
  struct listed_job {
    job_record job;
    work_counters sums;
    std::uint64_t leased_chunks = 0;
    std::uint64_t open_chunks = 0;  ///< without all their results; the leased ones included
    std::uint64_t workers = 0;
  };
  /// In the order in which they were added.
  virtual std::vector<listed_job> list_jobs() = 0;
  virtual work_counters counters(job_id job) = 0;
  /// Finished lines in the order of the job, at most `most`, from line `from` on.
  virtual std::vector<finished_line> read_results(job_id job, std::uint64_t from,
                                                  std::size_t most) = 0;
  /// The most attempts that were recorded in 60 consecutive seconds.
  virtual std::uint64_t most_in_a_minute(job_id job) = 0;
  /// Removes the job and all that belongs to it.
  virtual void remove_job(job_id job) = 0;

  // Work.

  /// Leases a chunk: one without a lease, or one whose lease has run out. Then attempts that its
  /// holder had in flight count as maybe billed, and their reservations are kept.
  virtual claim_answer claim(const claim_request& request) = 0;
  /// Reserves money for lines of the chunk: for as many of the first ones as fit into the budget.
  /// If `split`, the lines of the chunk from the first one that does not fit on go back to the
  /// queue.
  virtual reserve_answer reserve(const lease_key& key, const std::vector<line_reserve>& lines,
                                 bool split) = 0;
  /// Stores the changes, and extends the leases. Returns the chunks that belong to another worker
  /// now: nothing of them was stored.
  virtual std::vector<lease_key> commit(const change_batch& batch) = 0;

  // The window.

  virtual window_answer call_window(const window_call& call) = 0;
};

}  // namespace sluice::cluster
