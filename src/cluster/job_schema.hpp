#pragma once

#include "store/postgres.hpp"

namespace sluice::cluster {

/// The version of the tables that this program uses.
inline constexpr std::int64_t job_schema_version = 1;

/// Creates the tables, or upgrades them. One program at a time does it; the others wait. Throws
/// other_version if the tables are newer.
void prepare_job_schema(store::postgres_database& database);
/// Throws other_version if the tables do not have this program's version.
void require_job_schema(std::int64_t version);

}  // namespace sluice::cluster
