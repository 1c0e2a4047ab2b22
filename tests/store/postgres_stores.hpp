#pragma once

#include <memory>

#include "store/batch_store.hpp"
#include "store/postgres.hpp"
#include "store/postgres_store.hpp"
#include "support/postgres_server.hpp"

namespace sluice::store {

/// A database of the PostgreSQL server of this test binary, without any table of this program.
inline postgres_database& empty_postgres() {
  static postgres_database database = [] {
    postgres_options options;
    options.url = test::postgres_server::shared().url();
    return postgres_database(options);
  }();
  database.transact([](postgres_transaction& in) {
    in.run_all("SET LOCAL client_min_messages = warning; DROP SCHEMA IF EXISTS sluice CASCADE");
  });
  return database;
}

/// An empty store in this database. Its leases follow the caller's clock.
inline std::unique_ptr<batch_store> empty_postgres_store() {
  return open_postgres_store(empty_postgres(), lease_clock::caller);
}

}  // namespace sluice::store
