#pragma once

#include <string>

#include "cluster/job_store.hpp"
#include "files/file_system.hpp"
#include "jobs/job_files.hpp"
#include "sluice/totals.hpp"

namespace sluice::cluster {

/// Writes the three files of a job, as a run does. They contain one line for each request with a
/// result, in the order of the job, and the totals. Each file replaces the one of an earlier call
/// in one step, so a reader sees either the old file or the new one. Memory: some MB, and 20 bytes
/// for each result in the output file that is replaced. Blocks. Throws fatal_error if this program
/// did not write a file, if a run is using it, if it has a success that the store does not have, or
/// if it cannot be written. Then the existing files are unchanged, unless the disk failed.
job_totals collect(job_store& store, const job_record& job, const job_files& files,
                   file_system& disk);

}  // namespace sluice::cluster
