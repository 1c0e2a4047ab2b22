#pragma once

#include <memory>
#include <string>

#include "cluster/job_store.hpp"

namespace sluice::cluster {

/// A job store in a PostgreSQL database, in a schema of its own: `sluice`. Creates the schema, or
/// brings it up to date, if its role may. Throws store::store_error if it cannot be used, and
/// other_version if the schema is newer than this program.
std::unique_ptr<job_store> open_postgres_jobs(const std::string& url);

}  // namespace sluice::cluster
