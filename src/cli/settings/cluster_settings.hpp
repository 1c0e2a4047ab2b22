#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/settings/run_settings.hpp"
#include "cluster/job_store.hpp"
#include "settings/setting.hpp"
#include "terminal/exit_status.hpp"

namespace sluice::cli {

/// The settings of the commands that distribute a job over many machines: enqueue, work, collect,
/// jobs.
struct cluster_settings {
  run_settings run;
  std::string store;  ///< URL of the PostgreSQL database that the machines share
  std::string name;   ///< name of the job in the store; empty: the name of its file
  /// Requests that a worker leases at a time; 0: depends on the size of the job.
  std::uint64_t chunk = 0;
  duration lease = std::chrono::seconds{60};
  bool forever = false;  ///< wait for more jobs when the queue is empty
  std::string remove;    ///< name of a job to remove; empty: none
  bool json = false;
};

// The flag tables of the commands. Each entry writes into `target`, which must outlive it.
std::vector<setting> enqueue_flags(cluster_settings& target);
std::vector<setting> work_flags(cluster_settings& target);
std::vector<setting> collect_flags(cluster_settings& target);
std::vector<setting> jobs_flags(cluster_settings& target);

/// The flag with which a run shares its limit with other machines.
setting limit_store_flag(std::string& place);

/// Opens the store with this URL. Blocks. Throws fatal_error.
std::unique_ptr<cluster::job_store> open_job_store(const std::string& url);

/// Runs a command that uses a store. If the database is not available any more, prints the reason
/// and returns `stopped`.
exit_status with_job_store(const cluster_settings& chosen,
                           const std::function<exit_status(cluster::job_store&)>& run);
/// The job with this name. If there is none, throws fatal_error that suggests the most similar
/// name.
cluster::job_record find_named_job(cluster::job_store& store, const std::string& name);

}  // namespace sluice::cli
