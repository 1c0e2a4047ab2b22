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
  bool was_there = false;  ///< the job was already stored completely
};

/// Stores a job file under a name. If an earlier call was interrupted, it continues where that call
/// stopped. If the job is already stored, it stores nothing. It reads the file twice: the first
/// time completely, so that nothing is stored if the file cannot be used. Blocks. Throws
/// fatal_error if the file cannot be used, or if the name belongs to another job.
enqueued_job enqueue(job_store& store, const std::string& path, const std::string& name,
                     const enqueue_options& options);

/// Returns the default name of a job: the name of its file, without folders and extensions.
std::string job_name_of(const std::string& path);

}  // namespace sluice::cluster
