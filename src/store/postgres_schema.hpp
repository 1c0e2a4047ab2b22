#pragma once

#include <span>
#include <string>
#include <string_view>

#include "store/postgres.hpp"

namespace sluice::store {

/// A part of the schema `sluice` that has its own version number.
struct postgres_part {
  std::string name;
  /// The steps from an empty schema to the current tables: step n makes version n from version n -
  /// 1. A released step never changes.
  std::span<const std::string_view> steps;
};

/// Creates the schema and the tables of a part, or upgrades older tables, in one transaction.
/// Several processes may call it at the same time. If the tables are up to date, it needs no right
/// to create tables. Throws store_error if a newer version made the tables.
void migrate(postgres_database& database, const postgres_part& part);

/// The tables of batch_store, and those for the bytes of files and batches.
postgres_part postgres_batches();

}  // namespace sluice::store
