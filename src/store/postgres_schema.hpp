#pragma once

#include <span>
#include <string>
#include <string_view>

#include "store/postgres.hpp"

namespace sluice::store {

/// A part of the schema `sluice` that has versions of its own.
struct postgres_part {
  std::string name;
  /// The steps from nothing to the present tables: the n-th makes version n out of version n - 1.
  /// A step that was released never changes.
  std::span<const std::string_view> steps;
};

/// Makes the schema and the tables of a part, or brings those of an older version to the present
/// one, in one transaction. Several processes may do so at once. Where all is there, it needs no
/// right to make tables. Throws store_error if a newer version made them.
void migrate(postgres_database& database, const postgres_part& part);

/// The tables of batch_store, and of the bytes of files and batches.
postgres_part postgres_batches();

}  // namespace sluice::store
