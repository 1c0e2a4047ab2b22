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

/// The lines of a job that are not sent, because an equal request has its result or is sent first.
struct job_copies {
  std::vector<std::uint64_t> lines;  ///< in order
  /// Where the result of a request is, by the hash of its digest; found at the end of the run.
  struct source {
    static constexpr std::uint64_t nowhere = ~std::uint64_t{0};
    std::uint64_t offset = nowhere;
    bool succeeded = false;  ///< it is in the output, else in the errors file
    bool stands = false;     ///< a failure that this run found out, or that is not tried again
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

/// What was found as the whole job was read, before anything is sent. Of standard input, which
/// cannot be read twice, nothing but the totals of earlier runs.
struct job_scan {
  job_totals totals;                      ///< of earlier results, and the requests of the job
  std::uint64_t last_line = 0;            ///< of the job, as far as the limit lets
  std::vector<std::uint64_t> duplicates;  ///< lines whose id an earlier one has
  std::uint64_t bad_lines = 0;
  std::uint64_t to_send = 0;
  job_copies copies;
  std::map<std::string, std::uint64_t> unpriced;  ///< requests by model
  std::set<std::string> models;                   ///< of the requests; two are enough
  job_fingerprint fingerprint;
};

/// What a job is made of, handed on from step to step, and with it the threads that may use it. At
/// one place in memory: its parts refer to each other.
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

// The steps of a job before it runs. Each is an object that offers the next step alone, which uses
// it up:
//
//   loaded_job ── scan() ──► scanned_job ── create() ──► created_job ── start() ──► running_job
//        ▲             └───► outdated_job
//        └── make_room() ────────┘
//
// An object that is dropped undoes its step. Before create() there is nothing to undo but locks.

class scanned_job;
class outdated_job;

/// A job, for one thread, whose files are open and locked, and what earlier runs left in them read.
class loaded_job {
 public:
  /// Changes nothing. Throws fatal_error when the job cannot be run.
  explicit loaded_job(job_setup setup) : parts_(std::make_unique<job_parts>(std::move(setup))) {}

  /// Reads the whole job once: counts it, finds duplicate ids and results whose request has
  /// changed. Standard input cannot be read twice and is checked as it comes.
  std::variant<scanned_job, outdated_job> scan() &&;

 private:
  std::unique_ptr<job_parts> parts_;
};

/// A job, for one thread, with results that must go before it runs.
class outdated_job {
 public:
  /// Takes them out of the output, and begins again.
  loaded_job make_room() &&;

 private:
  friend class loaded_job;
  explicit outdated_job(std::unique_ptr<job_parts> parts) : parts_(std::move(parts)) {}

  std::unique_ptr<job_parts> parts_;
};

/// A job, for one thread, with its files made. If it is dropped, it removes those that were not
/// there before.
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

/// A job, for one thread, that can be run.
class scanned_job {
 public:
  /// Makes the files that are not there yet.
  created_job create() &&;

 private:
  friend class loaded_job;
  explicit scanned_job(std::unique_ptr<job_parts> parts) : parts_(std::move(parts)) {}

  std::unique_ptr<job_parts> parts_;
};

}  // namespace sluice
