#pragma once

#include <string>

#include "cluster/job_store.hpp"
#include "files/file_system.hpp"
#include "jobs/job_files.hpp"
#include "sluice/totals.hpp"

namespace sluice::cluster {

/// Writes the three files of a job as a run does: one line for each request that has its result, in
/// the order of the job, and the totals. Replaces those of an earlier call, each at once, so that a
/// reader sees the old file or the new one. Memory: some MB, whatever the size of the job. Blocks.
/// Throws fatal_error if a file is not of this program, is in use by a run, or cannot be written.
job_totals collect(job_store& store, const job_record& job, const job_files& files,
                   file_system& disk);

}  // namespace sluice::cluster
