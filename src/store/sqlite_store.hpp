#pragma once

#include <memory>
#include <string>

#include "store/batch_store.hpp"

namespace sluice::store {

/// Opens the store in an SQLite database, or creates it. It upgrades a database of an older
/// version, and refuses one of a newer version. Only one process may use the store: the file next
/// to it, `FILE.lock`, is locked. Throws store_error with a sentence that names the file.
std::unique_ptr<batch_store> open_sqlite_store(const std::string& file);

}  // namespace sluice::store
