#pragma once

#include <memory>

#include "store/postgres.hpp"
#include "store/shared_files.hpp"

namespace sluice::store {

/// Opens the shared files in the schema `sluice`, which open_postgres_store() creates. The database
/// must outlive the object.
std::unique_ptr<shared_files> open_postgres_files(postgres_database& database);

}  // namespace sluice::store
