#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "cluster/job_store.hpp"
#include "sluice/config.hpp"

namespace sluice::cluster {

struct enqueue_options {
  job_options lines;
  std::optional<usd> budget;
  std::uint64_t chunk_lines = 0;  ///< 0: usual_chunk_lines()
};

struct enqueued_job {
  job_record job;
  std::uint64_t bad_lines = 0;
  std::uint64_t chunk_lines = 0;
  bool was_there = false;  ///< it had been stored whole before
};

/// Puts a job file into the store under a name. If that was interrupted before, goes on where it
/// was; if the job is there, stores nothing. Reads the file twice: first whole, so that nothing is
/// stored of a file that cannot be used. Blocks. Throws fatal_error if the file cannot be used, or
/// if the name belongs to another job.
enqueued_job enqueue(job_store& store, const std::string& path, const std::string& name,
                     const enqueue_options& options);

/// The name of a job: that of its file, without folders and endings.
std::string job_name_of(const std::string& path);

}  // namespace sluice::cluster
