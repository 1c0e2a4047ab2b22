#pragma once

#include <span>
#include <string_view>

#include "store/sqlite.hpp"

namespace sluice::store {

/// The steps from an empty database to the current schema: step n makes version n from version n -
/// 1. A released step never changes.
std::span<const std::string_view> sqlite_migrations();

/// Throws store_error if another program or a newer version made the database. Changes nothing.
void check_schema(const sqlite_database& database);

/// Creates the tables, or upgrades older tables, in one transaction. Call check_schema() first.
void migrate(sqlite_database& database);

}  // namespace sluice::store
