#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "store/batch_store.hpp"
#include "store/postgres.hpp"

namespace sluice::store {

/// The clock that decides when a lease ends.
enum class lease_clock : std::uint8_t {
  database,  ///< PostgreSQL's clock; leases do not depend on the `now` of a call
  caller,    ///< the caller's `now`, for tests
};

/// Opens the store of files and batches in the schema `sluice` of a PostgreSQL. First it creates
/// the schema or upgrades it to the current version. Any number of processes may use the store at
/// the same time. The database must outlive the store. Throws store_error.
std::unique_ptr<batch_store> open_postgres_store(postgres_database& database,
                                                 lease_clock clock = lease_clock::database);

/// The statement that adds up what the batches of the owner $1 have spent, except the batch $2. For
/// tests of its plan.
std::string spent_by_others_sql();

}  // namespace sluice::store
