#pragma once

#include <span>
#include <string_view>

#include "store/sqlite.hpp"

namespace sluice::store {

/// The steps from an empty database to the present schema: the n-th makes version n out of version
/// n - 1. A step that was released never changes.
std::span<const std::string_view> sqlite_migrations();

/// Throws store_error if another program or a newer version made the database. Changes nothing.
void check_schema(const sqlite_database& database);

/// Makes the tables, or brings those of an older version to the present one, in one transaction.
/// Call check_schema() first.
void migrate(sqlite_database& database);

}  // namespace sluice::store
