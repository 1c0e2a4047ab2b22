#include "store/postgres_schema.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <optional>

namespace sluice::store {
namespace {

// Key of the lock for creating tables: "sluice".
constexpr std::int64_t schema_lock = 0x736c75696365;
// A step may have to write a large table again, or to wait for another process that does.
constexpr std::chrono::minutes longest_step{10};

// `sequence` is the order of insertion; it orders records of the same second. Times are Unix
// seconds. Amounts are decimal texts, as usd::to_string() writes them.
constexpr std::array<std::string_view, 4> steps{
    // 1: files, batches, and their bytes.
    R"(
    CREATE TABLE sluice.files (
      sequence bigint GENERATED ALWAYS AS IDENTITY,
      id text PRIMARY KEY,
      owner text NOT NULL,
      filename text NOT NULL,
      purpose text NOT NULL,
      bytes bigint NOT NULL,
      created_at bigint NOT NULL,
      expires_at bigint
    );
    CREATE INDEX files_of_owner ON sluice.files (owner, created_at, sequence);
    CREATE INDEX files_for_purpose ON sluice.files (owner, purpose, created_at, sequence);
    CREATE INDEX files_that_expire ON sluice.files (expires_at) WHERE expires_at IS NOT NULL;

    CREATE TABLE sluice.batches (
      sequence bigint GENERATED ALWAYS AS IDENTITY,
      id text PRIMARY KEY,
      owner text NOT NULL,
      endpoint text NOT NULL,
      input_file_id text NOT NULL,
      completion_window text NOT NULL,
      status text NOT NULL,
      model text,
      errors text NOT NULL, -- JSON: a list
      output_file_id text,
      error_file_id text,
      created_at bigint NOT NULL,
      expires_at bigint NOT NULL,
      in_progress_at bigint,
      finalizing_at bigint,
      completed_at bigint,
      failed_at bigint,
      expired_at bigint,
      cancelling_at bigint,
      cancelled_at bigint,
      metadata text, -- JSON: an object; NULL: none was given
      output_expires_after bigint,
      priority integer NOT NULL,
      estimate text NOT NULL,
      retry_of text,
      ending text, -- status that its end will have, once that is decided
      ending_output_file_id text,
      ending_error_file_id text,
      requests_total bigint NOT NULL,
      requests_completed bigint NOT NULL,
      requests_failed bigint NOT NULL,
      input_tokens bigint NOT NULL,
      cached_tokens bigint NOT NULL,
      output_tokens bigint NOT NULL,
      reasoning_tokens bigint NOT NULL,
      total_tokens bigint NOT NULL,
      cost text NOT NULL,
      unpriced bigint NOT NULL,
      spent text NOT NULL,
      server text, -- that works on it
      epoch bigint NOT NULL DEFAULT 0,
      lease_until double precision NOT NULL DEFAULT 0, -- by the clock of this database
      sole boolean NOT NULL DEFAULT false -- no other batch of the owner is worked on meanwhile
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);
    CREATE INDEX batches_of_owner ON sluice.batches (owner, created_at, sequence);
    CREATE INDEX batches_open ON sluice.batches (priority DESC, created_at, sequence)
      WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling');
    CREATE INDEX batches_on_input ON sluice.batches (input_file_id)
      WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling');

    -- The bytes of files, in pieces. They outlive the record of a file while a batch needs them.
    CREATE TABLE sluice.contents (
      id text PRIMARY KEY, -- of the file
      bytes bigint NOT NULL,
      stored_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE TABLE sluice.pieces (
      id text NOT NULL,
      number integer NOT NULL, -- from 0
      bytes bytea NOT NULL, -- a frame of zstd
      PRIMARY KEY (id, number)
    );
    ALTER TABLE sluice.pieces ALTER COLUMN bytes SET STORAGE EXTERNAL;

    -- The files that a batch writes while it runs: their names, and what was appended to them.
    CREATE TABLE sluice.batch_files (
      batch text NOT NULL,
      file bigint NOT NULL,
      name text NOT NULL,
      PRIMARY KEY (batch, file)
    );
    CREATE TABLE sluice.batch_pieces (
      batch text NOT NULL,
      file bigint NOT NULL,
      position bigint NOT NULL, -- of the first byte in the file
      size bigint NOT NULL, -- of the bytes in the file
      bytes bytea NOT NULL, -- a frame of zstd
      PRIMARY KEY (batch, file, position)
    ) WITH (autovacuum_vacuum_scale_factor = 0.02);
    ALTER TABLE sluice.batch_pieces ALTER COLUMN bytes SET STORAGE EXTERNAL;
    )",
    // 2: the cost of single calls.
    R"(
    CREATE TABLE sluice.call_spend (
      owner text PRIMARY KEY,
      spent text NOT NULL
    );
    )",
    // 3: announcements of ended batches to webhooks.
    R"(
    CREATE TABLE sluice.announcements (
      batch text PRIMARY KEY,
      tries integer NOT NULL DEFAULT 0,
      due_at bigint NOT NULL
    );
    CREATE INDEX announcements_due ON sluice.announcements (due_at);
    )",
    // 4: what the ended batches of an owner have spent, in an index that has all that the sum
    // needs.
    // The column is NULL while a batch is open. An index of `spent` itself would change each time
    // the progress of a batch is stored, and with it every index of the row.
    R"(
    ALTER TABLE sluice.batches ADD COLUMN ended_spent numeric GENERATED ALWAYS AS (
      CASE WHEN status IN ('validating', 'in_progress', 'finalizing', 'cancelling') THEN NULL
      ELSE spent::numeric END) STORED;
    CREATE INDEX batches_ended_spent ON sluice.batches (owner) INCLUDE (id, ended_spent)
      WHERE ended_spent IS NOT NULL;
    )",
};

// Returns the version of the part; nothing if the part does not exist yet.
std::optional<std::int64_t> version_of(postgres_transaction& in, const std::string& part) {
  if (in.run("SELECT to_regclass('sluice.versions')").is_null(0, 0)) return std::nullopt;
  const auto found = in.run("SELECT version FROM sluice.versions WHERE part = $1",
                            postgres_parameters().put(part));
  return found.empty() ? std::nullopt : std::optional(found.number(0, 0));
}

}  // namespace

void migrate(postgres_database& database, const postgres_part& part) {
  database.transact(
      [&](postgres_transaction& in) {
        const auto newest = std::ssize(part.steps);
        const auto is_present = [&](const std::optional<std::int64_t>& version) {
          if (version.value_or(0) > newest) {
            throw store_error(
                fmt::format("{}: a newer version of sluice made its tables ({} {}; this version "
                            "reads up to {}); use that version",
                            database.name(), part.name, *version, newest));
          }
          return version == newest;
        };
        if (is_present(version_of(in, part.name))) return;
        const auto encoding = in.run("SHOW server_encoding");
        if (encoding.text(0, 0) != "UTF8") {
          throw store_error(
              fmt::format("{}: its encoding is {}; make one with UTF8 (createdb --encoding=UTF8 "
                          "--template=template0)",
                          database.name(), encoding.text(0, 0)));
        }
        in.allow(longest_step);
        in.run("SELECT pg_advisory_xact_lock($1)", postgres_parameters().put(schema_lock));
        // Another process may have created the part before this one got the lock.
        const auto version = version_of(in, part.name);
        if (is_present(version)) return;
        in.run_all(
            "CREATE SCHEMA IF NOT EXISTS sluice;"
            "CREATE TABLE IF NOT EXISTS sluice.versions (part text PRIMARY KEY, version bigint NOT "
            "NULL)");
        for (auto step = version.value_or(0); step < newest; ++step) {
          in.run_all(std::string(part.steps[static_cast<std::size_t>(step)]));
        }
        in.run(
            "INSERT INTO sluice.versions VALUES ($1, $2) "
            "ON CONFLICT (part) DO UPDATE SET version = excluded.version",
            postgres_parameters().put(part.name).put(std::int64_t{newest}));
      },
      if_unclear::run_again);
}

postgres_part postgres_batches() {
  return {"batches", steps};
}

}  // namespace sluice::store
