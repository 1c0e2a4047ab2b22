#include "cluster/job_schema.hpp"

#include <fmt/format.h>

#include "cluster/job_store.hpp"

namespace sluice::cluster {
namespace {

// Each job has its own partitions for the bodies, the results and the records of attempts. They are
// dropped with the job. Deleting row by row would leave as many dead rows as the job had lines.
// Chunks are updated often, so their pages keep room for new versions of a row.
constexpr const char* version_1 = R"(
CREATE TABLE sluice.jobs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  identity text NOT NULL,
  fingerprint text NOT NULL,
  lines bigint NOT NULL,
  blocks bigint NOT NULL DEFAULT 0,
  chunks bigint NOT NULL DEFAULT 0,
  ready boolean NOT NULL DEFAULT false,
  finished boolean NOT NULL DEFAULT false,
  simulated boolean,
  budget numeric,
  spent numeric NOT NULL DEFAULT 0,
  reserved numeric NOT NULL DEFAULT 0,
  exhausted boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at timestamptz,
  finished_at timestamptz
) WITH (fillfactor = 50);
CREATE TABLE sluice.job_blocks (
  job bigint NOT NULL,
  number bigint NOT NULL,
  requests bytea NOT NULL,
  PRIMARY KEY (job, number)
) PARTITION BY LIST (job);
ALTER TABLE sluice.job_blocks ALTER COLUMN requests SET STORAGE EXTERNAL;
CREATE TABLE sluice.job_chunks (
  job bigint NOT NULL,
  number bigint NOT NULL,
  block bigint NOT NULL,
  first_line bigint NOT NULL,
  last_line bigint NOT NULL,
  state smallint NOT NULL,
  epoch bigint NOT NULL DEFAULT 0,
  worker text NOT NULL DEFAULT '',
  lease_until timestamptz,
  lease_length bigint NOT NULL DEFAULT 0,
  finished bigint NOT NULL,
  reserved numeric NOT NULL DEFAULT 0,
  needs numeric,
  succeeded bigint NOT NULL DEFAULT 0,
  failed bigint NOT NULL,
  attempts bigint NOT NULL DEFAULT 0,
  retries bigint NOT NULL DEFAULT 0,
  maybe_billed bigint NOT NULL DEFAULT 0,
  cost numeric NOT NULL DEFAULT 0,
  kept numeric NOT NULL DEFAULT 0,
  PRIMARY KEY (job, number)
) WITH (fillfactor = 50);
CREATE INDEX job_chunks_open ON sluice.job_chunks (job, number) WHERE state <> 2;
CREATE TABLE sluice.job_results (
  job bigint NOT NULL,
  line bigint NOT NULL,
  succeeded boolean NOT NULL,
  text text NOT NULL,
  PRIMARY KEY (job, line)
) PARTITION BY LIST (job);
CREATE TABLE sluice.job_attempts (
  job bigint NOT NULL,
  line bigint NOT NULL,
  number bigint NOT NULL,
  most numeric NOT NULL,
  open boolean NOT NULL DEFAULT true,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (job, line, number)
) PARTITION BY LIST (job);
CREATE TABLE sluice.job_workers (
  name text PRIMARY KEY,
  sequence bigint NOT NULL,
  seen timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
CREATE TABLE sluice.rate_windows (
  name text PRIMARY KEY,
  state text NOT NULL
) WITH (fillfactor = 50);
)";

constexpr std::int64_t advisory_lock = 0x736c'7569'6a6f'6273;  // "sluijobs"

std::optional<std::int64_t> stored_version(store::postgres_transaction& in) {
  if (!in.run("SELECT to_regclass('sluice.job_schema') IS NOT NULL").flag(0, 0)) {
    return std::nullopt;
  }
  const auto rows = in.run("SELECT version FROM sluice.job_schema");
  if (rows.empty()) return std::nullopt;
  return rows.number(0, 0);
}

}  // namespace

void require_job_schema(std::int64_t version) {
  if (version == job_schema_version) return;
  throw other_version(fmt::format(
      "the tables in the database have version {}, and this sluice works with version {}; use one "
      "version of sluice on all machines",
      version, job_schema_version));
}

void prepare_job_schema(store::postgres_database& database) {
  database.transact(
      [](store::postgres_transaction& in) {
        // If the tables are up to date, stop here: a worker's role may have only the right to use
        // the tables.
        if (const auto version = stored_version(in); version && *version >= job_schema_version) {
          return require_job_schema(*version);
        }
        in.run("SELECT pg_advisory_xact_lock($1)", store::postgres_parameters().put(advisory_lock));
        if (const auto version = stored_version(in)) return require_job_schema(*version);
        const auto encoding = in.run("SHOW server_encoding");
        if (encoding.text(0, 0) != "UTF8") {
          throw store::store_error(fmt::format(
              "the database has the encoding {}; create one with UTF8: createdb -E UTF8 "
              "-T template0 NAME",
              encoding.text(0, 0)));
        }
        in.run_all("CREATE SCHEMA IF NOT EXISTS sluice");
        in.run_all(version_1);
        in.run_all("CREATE TABLE sluice.job_schema (version bigint NOT NULL)");
        in.run("INSERT INTO sluice.job_schema (version) VALUES ($1)",
               store::postgres_parameters().put(job_schema_version));
      },
      store::if_unclear::run_again);
}

}  // namespace sluice::cluster
