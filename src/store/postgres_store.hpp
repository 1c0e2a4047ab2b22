#pragma once

#include <cstdint>
#include <memory>

#include "store/batch_store.hpp"
#include "store/postgres.hpp"

namespace sluice::store {

/// Whose clock says when a lease ends.
enum class lease_clock : std::uint8_t {
  database,  ///< PostgreSQL's own; `now` in the calls about claims is ignored
  caller,    ///< the caller's `now`: for tests
};

/// Files and batches in the schema `sluice` of a PostgreSQL, which is made or brought to the
/// present version first. Any number of processes may use it at once. The database must outlive the
/// store. Throws store_error.
std::unique_ptr<batch_store> open_postgres_store(postgres_database& database,
                                                 lease_clock clock = lease_clock::database);

}  // namespace sluice::store
