#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/hash.hpp"
#include "base/id_table.hpp"
#include "jobs/earlier_results.hpp"
#include "jobs/job_input.hpp"
#include "jobs/job_setup.hpp"
#include "jobs/result_files.hpp"
#include "sluice/totals.hpp"

namespace sluice {

class running_job;

/// The lines of a job that are not sent because an equal request has a result or is sent first.
struct job_copies {
  std::vector<std::uint64_t> lines;  ///< in order
  /// The place of the result of a request, keyed by the hash of its digest. Found at the end of the
  /// run.
  struct source {
    static constexpr std::uint64_t nowhere = ~std::uint64_t{0};
    std::uint64_t offset = nowhere;
    bool succeeded = false;  ///< true: it is in the output; false: in the errors file
    bool stands = false;     ///< a failure from this run, or one that is not retried
    bool is_old = false;     ///< a failure of an earlier run
  };
  id_table<source> sources;

  void add(const request& copy) {
    lines.push_back(copy.line);
    sources.insert(hash_of(copy.digest));
  }
  bool contain(std::uint64_t line) const {
    return std::binary_search(lines.begin(), lines.end(), line);
  }
};

/// The findings of reading the whole job before anything is sent. Standard input cannot be read
/// twice, so for it only the totals of earlier runs are filled in.
struct job_scan {
  job_totals totals;            ///< of the earlier results, plus the number of requests in the job
  std::uint64_t last_line = 0;  ///< of the job, or of its part within the limit
  std::vector<std::uint64_t> duplicates;  ///< lines whose id was used by an earlier line
  std::uint64_t bad_lines = 0;
  std::uint64_t to_send = 0;
  job_copies copies;
  std::map<std::string, std::uint64_t> unpriced;  ///< requests by model
  std::set<std::string> models;                   ///< of the requests; at most two are stored
  job_fingerprint fingerprint;
};

/// The parts of a job. Each step hands them to the next one, together with the right to use them.
/// The object must not move in memory, because its parts refer to each other.
struct job_parts {
  explicit job_parts(job_setup chosen)
      : setup(std::move(chosen)), files(setup), earlier(setup, files) {}
  job_parts(const job_parts&) = delete;
  job_parts& operator=(const job_parts&) = delete;

  const job_setup setup;
  result_files files;
  earlier_results earlier;
  job_scan scan;
  std::unique_ptr<job_input> input;
};

// The steps of a job before it runs. Each step is an object that offers only the next step, and
// that step consumes the object:
//
//   loaded_job ── scan() ──► scanned_job ── create() ──► created_job ── start() ──► running_job
//        ▲             └───► outdated_job
//        └── make_room() ────────┘
//
// If an object is dropped, it undoes its step. Before create() only locks have to be released.

class scanned_job;
class outdated_job;

/// A job whose files are open and locked, and whose earlier results have been read. For one thread.
class loaded_job {
 public:
  /// Changes nothing. Throws fatal_error if the job cannot be run.
  explicit loaded_job(job_setup setup) : parts_(std::make_unique<job_parts>(std::move(setup))) {}

  /// Reads the whole job once: counts its lines, and finds duplicate ids and results whose request
  /// has changed. Standard input cannot be read twice, so it is checked while it is read.
  std::variant<scanned_job, outdated_job> scan() &&;

 private:
  std::unique_ptr<job_parts> parts_;
};

/// A job with results that must be removed before it runs. For one thread.
class outdated_job {
 public:
  /// Removes them from the output and starts again.
  loaded_job make_room() &&;

 private:
  friend class loaded_job;
  explicit outdated_job(std::unique_ptr<job_parts> parts) : parts_(std::move(parts)) {}

  std::unique_ptr<job_parts> parts_;
};

/// A job whose files have been created. For one thread. If the object is dropped, it removes the
/// files that did not exist before.
class created_job {
 public:
  created_job(created_job&&) noexcept = default;
  created_job& operator=(created_job&&) = delete;
  ~created_job();

  std::unique_ptr<running_job> start() &&;

 private:
  friend class scanned_job;
  explicit created_job(std::unique_ptr<job_parts> parts) : parts_(std::move(parts)) {}

  std::unique_ptr<job_parts> parts_;
};

/// A job that can be run. For one thread.
class scanned_job {
 public:
  /// Creates the files that do not exist yet.
  created_job create() &&;

 private:
  friend class loaded_job;
  explicit scanned_job(std::unique_ptr<job_parts> parts) : parts_(std::move(parts)) {}

  std::unique_ptr<job_parts> parts_;
};

}  // namespace sluice
