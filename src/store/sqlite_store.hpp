#pragma once

#include <memory>
#include <string>

#include "store/batch_store.hpp"

namespace sluice::store {

/// Opens the store in an SQLite database, or creates it. A database of an older version is
/// migrated; one of a newer version is refused. Only one process may use it: the file next to it,
/// `FILE.lock`, is locked. Throws store_error with a sentence that names the file.
std::unique_ptr<batch_store> open_sqlite_store(const std::string& file);

}  // namespace sluice::store
