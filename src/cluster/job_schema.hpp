#pragma once

#include "store/postgres.hpp"

namespace sluice::cluster {

/// The version of the tables that this program works with.
inline constexpr std::int64_t job_schema_version = 1;

/// Creates the tables, or upgrades them. One program at a time does it; the others wait. Throws
/// other_version if they are newer.
void prepare_job_schema(store::postgres_database& database);
/// Throws other_version unless the tables are those of this program.
void require_job_schema(std::int64_t version);

}  // namespace sluice::cluster
