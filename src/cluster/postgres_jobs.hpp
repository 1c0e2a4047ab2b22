#pragma once

#include <memory>
#include <string>

#include "cluster/job_store.hpp"

namespace sluice::cluster {

/// Opens the job store in a PostgreSQL database, in its own schema `sluice`. Creates or upgrades
/// the schema, if the database role has the right to do it. Throws store::store_error if the
/// database cannot be used, and other_version if the schema is newer than this program.
std::unique_ptr<job_store> open_postgres_jobs(const std::string& url);

}  // namespace sluice::cluster
