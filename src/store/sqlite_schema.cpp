#include "store/sqlite_schema.hpp"

#include <fmt/format.h>

#include <array>

#include "store/batch_store.hpp"

namespace sluice::store {
namespace {

// Marks a database of this program: "slce".
constexpr std::int64_t application_id = 0x736c6365;

// `sequence` is the order of insertion; it orders records of the same second. Times are Unix
// seconds. Amounts are decimal texts, as usd::to_string() writes them.
constexpr std::array<std::string_view, 4> schema_steps{
    // 1: files and batches.
    R"(
    CREATE TABLE files (
      sequence INTEGER PRIMARY KEY,
      id TEXT NOT NULL UNIQUE,
      owner TEXT NOT NULL,
      filename TEXT NOT NULL,
      purpose TEXT NOT NULL,
      bytes INTEGER NOT NULL,
      created_at INTEGER NOT NULL,
      expires_at INTEGER
    ) STRICT;
    CREATE INDEX files_of_owner ON files (owner, created_at);
    CREATE INDEX files_for_purpose ON files (owner, purpose, created_at);
    CREATE INDEX files_that_expire ON files (expires_at) WHERE expires_at IS NOT NULL;

    CREATE TABLE batches (
      sequence INTEGER PRIMARY KEY,
      id TEXT NOT NULL UNIQUE,
      owner TEXT NOT NULL,
      endpoint TEXT NOT NULL,
      input_file_id TEXT NOT NULL,
      completion_window TEXT NOT NULL,
      status TEXT NOT NULL,
      model TEXT,
      errors TEXT NOT NULL, -- JSON: a list
      output_file_id TEXT,
      error_file_id TEXT,
      created_at INTEGER NOT NULL,
      expires_at INTEGER NOT NULL,
      in_progress_at INTEGER,
      finalizing_at INTEGER,
      completed_at INTEGER,
      failed_at INTEGER,
      expired_at INTEGER,
      cancelling_at INTEGER,
      cancelled_at INTEGER,
      requests_total INTEGER NOT NULL,
      requests_completed INTEGER NOT NULL,
      requests_failed INTEGER NOT NULL,
      input_tokens INTEGER NOT NULL,
      cached_tokens INTEGER NOT NULL,
      output_tokens INTEGER NOT NULL,
      reasoning_tokens INTEGER NOT NULL,
      total_tokens INTEGER NOT NULL,
      cost TEXT NOT NULL,
      unpriced INTEGER NOT NULL,
      spent TEXT NOT NULL,
      metadata TEXT, -- JSON: an object; NULL: none was given
      output_expires_after INTEGER,
      ending TEXT, -- status that its end will have, once that is decided
      ending_output_file_id TEXT,
      ending_error_file_id TEXT,
      server TEXT, -- that works on it
      epoch INTEGER NOT NULL DEFAULT 0,
      lease_until INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX batches_of_owner ON batches (owner, created_at);
    CREATE INDEX batches_spent ON batches (owner, spent);
    CREATE INDEX batches_open ON batches (created_at)
      WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling');
    )",
    // 2: priorities, estimates, and batches that retry other batches.
    R"(
    ALTER TABLE batches ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE batches ADD COLUMN estimate TEXT NOT NULL DEFAULT '';
    ALTER TABLE batches ADD COLUMN retry_of TEXT;
    DROP INDEX batches_open;
    CREATE INDEX batches_open ON batches (priority DESC, created_at)
      WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling');
    )",
    // 3: the cost of single calls.
    R"(
    CREATE TABLE call_spend (
      owner TEXT PRIMARY KEY,
      spent TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    )",
    // 4: announcements of ended batches to webhooks.
    R"(
    CREATE TABLE announcements (
      batch TEXT PRIMARY KEY,
      tries INTEGER NOT NULL DEFAULT 0,
      due_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    )",
};

std::int64_t number(const sqlite_database& database, std::string_view sql) {
  sqlite_statement statement(database, sql);
  statement.step();
  return statement.get_number();
}

std::int64_t version_of(const sqlite_database& database) {
  return number(database, "PRAGMA user_version");
}

}  // namespace

std::span<const std::string_view> sqlite_migrations() {
  return schema_steps;
}

void check_schema(const sqlite_database& database) {
  const std::int64_t version = version_of(database);
  const bool is_new = version == 0 && number(database, "SELECT count(*) FROM sqlite_schema") == 0;
  if (!is_new && number(database, "PRAGMA application_id") != application_id) {
    throw store_error(
        fmt::format("{}: is a database of another program; move it away, or choose another folder",
                    database.file()));
  }
  if (version > std::ssize(schema_steps)) {
    throw store_error(
        fmt::format("{}: a newer version of sluice wrote it (schema {}; this version reads up to "
                    "{}); use that version",
                    database.file(), version, schema_steps.size()));
  }
}

void migrate(sqlite_database& database) {
  const std::int64_t version = version_of(database);
  if (version == std::ssize(schema_steps)) return;
  sqlite_transaction transaction(database);
  for (auto step = static_cast<std::size_t>(version); step < schema_steps.size(); ++step) {
    database.run(std::string(schema_steps.at(step)));
  }
  database.run(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", application_id,
                           schema_steps.size()));
  transaction.commit();
}

}  // namespace sluice::store
