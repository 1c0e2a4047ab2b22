#include "cluster/postgres_jobs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "cluster/chunk_rules.hpp"
#include "cluster/clock_drift.hpp"
#include "cluster/grant_rules.hpp"
#include "cluster/job_schema.hpp"
#include "store/postgres.hpp"

namespace sluice::cluster {
namespace {

using store::if_unclear;
using store::postgres_parameters;
using store::postgres_rows;
using store::postgres_transaction;
using store::result_format;

// If a process is stopped in the middle of a transaction, PostgreSQL ends the transaction after
// this time, so that other processes can continue.
constexpr std::chrono::milliseconds idle_timeout{5'000};
constexpr std::chrono::milliseconds window_idle_timeout{1'000};
constexpr std::chrono::milliseconds patience{2'000};

usd money_in(const postgres_rows& rows, std::size_t row, std::size_t column) {
  const auto amount = usd::parse(rows.text(row, column));
  if (!amount) throw store::store_error("the database holds an amount of money that is none");
  return *amount;
}

std::uint64_t count_in(const postgres_rows& rows, std::size_t row, std::size_t column) {
  return static_cast<std::uint64_t>(rows.number(row, column));
}

// Collects the numbers of many rows as an array for unnest().
struct number_column {
  void add(std::int64_t value) { values.push_back(value); }
  void add(std::uint64_t value) { values.push_back(static_cast<std::int64_t>(value)); }
  std::vector<std::int64_t> values;
};

// The keys of leases, as columns.
struct lease_columns {
  number_column jobs;
  number_column chunks;
  number_column epochs;

  void add(const lease_key& key) {
    jobs.add(key.job);
    chunks.add(key.chunk);
    epochs.add(key.epoch);
  }
};

constexpr const char* job_columns =
    "id, name, identity, fingerprint, lines, blocks, ready, finished, simulated, budget::text, "
    "spent::text, reserved::text, exhausted, "
    "(extract(epoch FROM created_at) * 1000)::bigint, "
    "(extract(epoch FROM started_at) * 1000)::bigint, "
    "(extract(epoch FROM finished_at) * 1000)::bigint";
constexpr std::size_t job_column_count = 16;

double unix_time(std::int64_t milliseconds) {
  return static_cast<double>(milliseconds) / 1000;
}

job_record job_in(const postgres_rows& rows, std::size_t row) {
  job_record job;
  job.id = rows.number(row, 0);
  job.name = rows.text(row, 1);
  job.identity = rows.text(row, 2);
  job.fingerprint = rows.text(row, 3);
  job.lines = count_in(rows, row, 4);
  job.blocks = count_in(rows, row, 5);
  job.ready = rows.flag(row, 6);
  job.finished = rows.flag(row, 7);
  if (!rows.is_null(row, 8)) job.simulated = rows.flag(row, 8);
  if (!rows.is_null(row, 9)) job.budget = money_in(rows, row, 9);
  job.spent = money_in(rows, row, 10);
  job.reserved = money_in(rows, row, 11);
  job.exhausted = rows.flag(row, 12);
  job.created_at = unix_time(rows.number(row, 13));
  if (!rows.is_null(row, 14)) job.started_at = unix_time(rows.number(row, 14));
  if (!rows.is_null(row, 15)) job.finished_at = unix_time(rows.number(row, 15));
  return job;
}

constexpr const char* chunk_columns =
    "c.job, c.number, c.block, c.first_line, c.last_line, c.state, c.epoch, c.worker, c.finished, "
    "c.reserved::text, c.succeeded, c.failed, c.attempts, c.retries, c.maybe_billed, "
    "c.cost::text, c.kept::text, c.needs::text";

// The end of a lease in microseconds since the epoch.
constexpr const char* lease_end = "(extract(epoch FROM c.lease_until) * 1000000)::bigint";

chunk_record chunk_in(const postgres_rows& rows, std::size_t row) {
  chunk_record chunk;
  chunk.job = rows.number(row, 0);
  chunk.number = rows.number(row, 1);
  chunk.block = rows.number(row, 2);
  chunk.first = count_in(rows, row, 3);
  chunk.last = count_in(rows, row, 4);
  chunk.state = static_cast<chunk_state>(rows.number(row, 5));
  chunk.epoch = rows.number(row, 6);
  chunk.worker = rows.text(row, 7);
  chunk.finished = count_in(rows, row, 8);
  chunk.reserved = money_in(rows, row, 9);
  chunk.sums.succeeded = count_in(rows, row, 10);
  chunk.sums.failed = count_in(rows, row, 11);
  chunk.sums.attempts = count_in(rows, row, 12);
  chunk.sums.retries = count_in(rows, row, 13);
  chunk.sums.maybe_billed = count_in(rows, row, 14);
  chunk.sums.cost = money_in(rows, row, 15);
  chunk.sums.kept = money_in(rows, row, 16);
  if (!rows.is_null(row, 17)) chunk.needs = money_in(rows, row, 17);
  return chunk;
}

// `lease`: microseconds from now.
void save(postgres_transaction& in, const chunk_record& chunk, std::int64_t lease) {
  in.run(
      "UPDATE sluice.job_chunks SET first_line = $3, last_line = $4, state = $5, epoch = $6, "
      "worker = $7, finished = $8, reserved = $9::text::numeric, succeeded = $10, failed = $11, "
      "attempts = $12, retries = $13, maybe_billed = $14, cost = $15::text::numeric, "
      "kept = $16::text::numeric, "
      "lease_until = clock_timestamp() + $17::bigint * interval '1 microsecond', "
      "lease_length = $17::bigint "
      "WHERE job = $1 AND number = $2",
      postgres_parameters()
          .put(chunk.job)
          .put(chunk.number)
          .put(chunk.first)
          .put(chunk.last)
          .put(static_cast<int>(chunk.state))
          .put(chunk.epoch)
          .put(chunk.worker)
          .put(chunk.finished)
          .put(chunk.reserved.to_string())
          .put(chunk.sums.succeeded)
          .put(chunk.sums.failed)
          .put(chunk.sums.attempts)
          .put(chunk.sums.retries)
          .put(chunk.sums.maybe_billed)
          .put(chunk.sums.cost.to_string())
          .put(chunk.sums.kept.to_string())
          .put(lease));
}

void insert(postgres_transaction& in, const chunk_record& chunk) {
  in.run(
      "INSERT INTO sluice.job_chunks (job, number, block, first_line, last_line, state, finished, "
      "failed, epoch) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
      postgres_parameters()
          .put(chunk.job)
          .put(chunk.number)
          .put(chunk.block)
          .put(chunk.first)
          .put(chunk.last)
          .put(static_cast<int>(chunk.state))
          .put(chunk.finished)
          .put(chunk.sums.failed)
          .put(chunk.epoch));
}

void move_money(postgres_transaction& in, job_id job, const money_change& change) {
  if (change.spent == usd{} && change.released == usd{}) return;
  in.run(
      "UPDATE sluice.jobs SET spent = spent + $2::text::numeric, "
      "reserved = reserved - $3::text::numeric WHERE id = $1",
      postgres_parameters()
          .put(job)
          .put(change.spent.to_string())
          .put(change.released.to_string()));
}

// Marks the job as finished if all its chunks are done. Each worker locks the job before the check.
// So if several workers finish chunks at the same time, the last one sees that all are done.
void finish_if_done(postgres_transaction& in, job_id job) {
  in.run("SELECT 1 FROM sluice.jobs WHERE id = $1 FOR UPDATE", postgres_parameters().put(job));
  in.run(
      "UPDATE sluice.jobs SET finished = true, finished_at = clock_timestamp() WHERE id = $1 AND "
      "ready AND NOT finished AND NOT EXISTS (SELECT 1 FROM sluice.job_chunks WHERE job = $1 AND "
      "state <> 2)",
      postgres_parameters().put(job));
}

// Returns the time of the database, in microseconds since the epoch.
std::int64_t check_version(postgres_transaction& in) {
  const auto rows = in.run(
      "SELECT version, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM "
      "sluice.job_schema");
  require_job_schema(rows.empty() ? 0 : rows.number(0, 0));
  return rows.number(0, 1);
}

store::postgres_options options_for(const std::string& url, std::chrono::milliseconds idle) {
  store::postgres_options options;
  options.url = url;
  options.idle_timeout = idle;
  options.patience = patience;
  return options;
}

class postgres_jobs final : public job_store {
 public:
  explicit postgres_jobs(const std::string& url)
      : database_(options_for(url, idle_timeout)), windows_(options_for(url, window_idle_timeout)) {
    prepare_job_schema(database_);
  }

  job_record add_job(const new_job& job) override {
    return database_.transact(
        [&](postgres_transaction& in) {
          check_version(in);
          std::optional<std::string> budget;
          if (job.budget) budget = job.budget->to_string();
          const auto made = in.run(
              "INSERT INTO sluice.jobs (name, identity, fingerprint, lines, budget) VALUES ($1, "
              "$2, $3, $4, $5::text::numeric) ON CONFLICT (name) DO NOTHING RETURNING id",
              postgres_parameters()
                  .put(job.name)
                  .put(job.identity)
                  .put(job.fingerprint)
                  .put(job.lines)
                  .put(budget));
          // Removes workers that have not been seen for a week.
          in.run("DELETE FROM sluice.job_workers WHERE seen < now() - interval '7 days'");
          if (!made.empty()) {
            const std::int64_t id = made.number(0, 0);
            for (const char* table : {"job_blocks", "job_results", "job_attempts"}) {
              in.run_all(fmt::format(
                  "CREATE TABLE sluice.{0}_{1} PARTITION OF sluice.{0} FOR VALUES IN ({1})", table,
                  id));
            }
          }
          return job_in(
              in.run(fmt::format("SELECT {} FROM sluice.jobs WHERE name = $1", job_columns),
                     postgres_parameters().put(job.name)),
              0);
        },
        if_unclear::run_again);
  }

  void add_block(job_id job, const line_block& block) override {
    database_.transact(
        [&](postgres_transaction& in) {
          const auto stored = in.run(
              "INSERT INTO sluice.job_blocks (job, number, requests) VALUES ($1, $2, $3) ON "
              "CONFLICT DO NOTHING",
              postgres_parameters().put(job).put(block.number).put_bytes(block.requests));
          if (stored.changed() == 0) return;
          chunk_record chunk;
          chunk.job = job;
          chunk.number = chunk.block = static_cast<std::int64_t>(block.number);
          chunk.first = block.first;
          chunk.last = block.last;
          chunk.finished = chunk.sums.failed = block.bad_lines.size();
          if (chunk.finished >= chunk.lines()) chunk.state = chunk_state::done;
          insert(in, chunk);
          insert_results(in, job, block.bad_lines);
          in.run(
              "UPDATE sluice.jobs SET blocks = blocks + 1, chunks = greatest(chunks, $2) WHERE id "
              "= $1",
              postgres_parameters().put(job).put(block.number + 1));
        },
        if_unclear::run_again);
  }

  void make_ready(job_id job) override {
    database_.transact(
        [&](postgres_transaction& in) {
          in.run("UPDATE sluice.jobs SET ready = true WHERE id = $1",
                 postgres_parameters().put(job));
          finish_if_done(in, job);
        },
        if_unclear::run_again);
  }

  bool set_budget(job_id job, std::optional<usd> budget) override {
    return database_.transact(
        [&](postgres_transaction& in) {
          // Workers lock a chunk first, and then its job.
          in.run("SELECT 1 FROM sluice.job_chunks WHERE job = $1 ORDER BY number FOR UPDATE",
                 postgres_parameters().put(job));
          const auto held = in.run(
              "SELECT EXISTS (SELECT 1 FROM sluice.job_chunks WHERE job = $1 AND state = 1 AND "
              "lease_until > clock_timestamp()) AND budget IS NULL FROM sluice.jobs WHERE id = $1",
              postgres_parameters().put(job));
          if (!held.empty() && held.flag(0, 0)) return false;
          // The holders of expired leases cannot continue without the budget.
          in.run(
              "UPDATE sluice.job_chunks c SET needs = NULL, epoch = epoch + CASE WHEN state = 1 "
              "AND j.budget IS NULL THEN 1 ELSE 0 END FROM sluice.jobs j WHERE c.job = $1 AND j.id "
              "= $1 AND (needs IS NOT NULL OR state = 1 AND j.budget IS NULL)",
              postgres_parameters().put(job));
          // A chunk that was split off meanwhile is not locked. With the lock of the job, the next
          // statement sees what its holder has stored.
          in.run("SELECT 1 FROM sluice.jobs WHERE id = $1 FOR UPDATE",
                 postgres_parameters().put(job));
          std::optional<std::string> text;
          if (budget) text = budget->to_string();
          in.run(
              "UPDATE sluice.jobs SET budget = $2::text::numeric, exhausted = false, spent = "
              "(SELECT "
              "coalesce(sum(cost + kept), 0) FROM sluice.job_chunks WHERE job = $1) WHERE id = $1",
              postgres_parameters().put(job).put(text));
          return true;
        },
        if_unclear::run_again);
  }

  std::optional<job_record> find_job(std::string_view name) override {
    const auto rows =
        database_.read(fmt::format("SELECT {} FROM sluice.jobs WHERE name = $1", job_columns),
                       postgres_parameters().put(name));
    if (rows.empty()) return std::nullopt;
    return job_in(rows, 0);
  }

  std::vector<listed_job> list_jobs() override {
    const auto rows = database_.read(fmt::format(
        "SELECT {}, s.* FROM sluice.jobs j LEFT JOIN LATERAL (SELECT "
        "coalesce(sum(succeeded), 0)::bigint, coalesce(sum(failed), 0)::bigint, "
        "coalesce(sum(attempts), 0)::bigint, coalesce(sum(retries), 0)::bigint, "
        "coalesce(sum(maybe_billed), 0)::bigint, coalesce(sum(cost), 0)::text, "
        "coalesce(sum(kept), 0)::text, count(*) FILTER (WHERE state = 1 AND lease_until > "
        "clock_timestamp()), count(*) FILTER (WHERE state <> 2), count(DISTINCT worker) FILTER "
        "(WHERE state = 1 AND lease_until > clock_timestamp()) FROM sluice.job_chunks c WHERE "
        "c.job = j.id) s ON true ORDER BY id",
        job_columns));
    std::vector<listed_job> all;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      std::size_t column = job_column_count;
      listed_job one{.job = job_in(rows, row), .sums = {}};
      one.sums = counters_in(rows, row, column);
      column += 7;
      one.leased_chunks = count_in(rows, row, column++);
      one.open_chunks = count_in(rows, row, column++);
      one.workers = count_in(rows, row, column);
      all.push_back(std::move(one));
    }
    return all;
  }

  work_counters counters(job_id job) override {
    return counters_in(
        database_.read(
            "SELECT coalesce(sum(succeeded), 0)::bigint, coalesce(sum(failed), 0)::bigint, "
            "coalesce(sum(attempts), 0)::bigint, coalesce(sum(retries), 0)::bigint, "
            "coalesce(sum(maybe_billed), 0)::bigint, coalesce(sum(cost), 0)::text, "
            "coalesce(sum(kept), 0)::text FROM sluice.job_chunks WHERE job = $1",
            postgres_parameters().put(job)),
        0, 0);
  }

  std::vector<finished_line> read_results(job_id job, std::uint64_t from,
                                          std::size_t most) override {
    const auto rows = database_.read(
        "SELECT line, succeeded, text FROM sluice.job_results WHERE job = $1 AND line >= $2 ORDER "
        "BY line LIMIT $3",
        postgres_parameters().put(job).put(from).put(static_cast<std::uint64_t>(most)));
    std::vector<finished_line> lines;
    lines.reserve(rows.size());
    for (std::size_t row = 0; row < rows.size(); ++row) {
      lines.push_back({count_in(rows, row, 0), rows.flag(row, 1), std::string(rows.text(row, 2))});
    }
    return lines;
  }

  std::uint64_t most_in_a_minute(job_id job) override {
    const auto rows = database_.read(
        "SELECT coalesce(max(n), 0)::bigint FROM (SELECT sum(count) OVER (ORDER BY second RANGE "
        "BETWEEN 59 PRECEDING AND CURRENT ROW) AS n FROM (SELECT floor(extract(epoch FROM "
        "at))::bigint AS second, count(*) AS count FROM sluice.job_attempts WHERE job = $1 GROUP "
        "BY 1) s) m",
        postgres_parameters().put(job));
    return count_in(rows, 0, 0);
  }

  void remove_job(job_id job) override {
    for (const char* table : {"job_blocks", "job_results", "job_attempts"}) drop(table, job);
    database_.transact(
        [&](postgres_transaction& in) {
          in.run("DELETE FROM sluice.job_chunks WHERE job = $1", postgres_parameters().put(job));
          in.run("DELETE FROM sluice.jobs WHERE id = $1", postgres_parameters().put(job));
        },
        if_unclear::run_again);
  }

  claim_answer claim(const claim_request& request) override {
    // If the answer to COMMIT is lost, the chunk stays leased although its worker does not know it,
    // until the lease expires.
    return database_.transact([&](postgres_transaction& in) { return try_claim(in, request); },
                              if_unclear::run_again);
  }

  reserve_answer reserve(const lease_key& key, const std::vector<line_reserve>& lines,
                         bool split_rest) override {
    // It must not run again, because it would reserve twice.
    return database_.transact(
        [&](postgres_transaction& in) {
          reserve_answer answer;
          const auto held = in.run(
              fmt::format("SELECT {} FROM sluice.job_chunks c WHERE job = $1 AND number = $2 AND "
                          "epoch = $3 AND state = 1 FOR UPDATE",
                          chunk_columns),
              postgres_parameters().put(key.job).put(key.chunk).put(key.epoch));
          if (held.empty()) {
            answer.lost = true;
            return answer;
          }
          chunk_record chunk = chunk_in(held, 0);
          job_record job = job_in(
              in.run(
                  fmt::format("SELECT {} FROM sluice.jobs WHERE id = $1 FOR UPDATE", job_columns),
                  postgres_parameters().put(key.job)),
              0);
          std::optional<std::uint64_t> rest;
          answer.lines = reserve_lines(chunk, job, lines, rest);
          // The chunk's other lines may be running at this worker.
          if (!split_rest) chunk.needs.reset();
          in.run("UPDATE sluice.jobs SET reserved = $2::text::numeric WHERE id = $1",
                 postgres_parameters().put(key.job).put(job.reserved.to_string()));
          if (split_rest && rest) split_off(in, chunk, *rest);
          in.run(
              "UPDATE sluice.job_chunks SET reserved = $3::text::numeric, last_line = $4, finished "
              "= $5, needs = $6::text::numeric WHERE job = $1 AND number = $2",
              postgres_parameters()
                  .put(key.job)
                  .put(key.chunk)
                  .put(chunk.reserved.to_string())
                  .put(chunk.last)
                  .put(chunk.finished)
                  .put(chunk.needs ? std::optional(chunk.needs->to_string()) : std::nullopt));
          if (answer.lines == 0 && !lines.empty()) answer.exhausted = note_exhausted(in, job);
          return answer;
        },
        if_unclear::say_so);
  }

  commit_answer commit(const change_batch& batch) override {
    return database_.transact([&](postgres_transaction& in) { return try_commit(in, batch); },
                              if_unclear::run_again);
  }

  window_answer call_window(const window_call& call) override {
    return windows_.transact(
        [&](postgres_transaction& in) {
          in.run(
              "INSERT INTO sluice.rate_windows (name, state) VALUES ($1, '') ON CONFLICT DO "
              "NOTHING",
              postgres_parameters().put(call.window));
          const auto locked =
              in.run("SELECT state FROM sluice.rate_windows WHERE name = $1 FOR UPDATE",
                     postgres_parameters().put(call.window));
          // Reads the time while it holds the lock, so that calls see increasing times in their
          // order.
          const auto time = in.run(
              "SELECT (extract(epoch FROM now()) * 1000000)::bigint, (extract(epoch FROM "
              "clock_timestamp()) * 1000000)::bigint");
          shared_grants grants =
              locked.text(0, 0).empty() ? shared_grants() : shared_grants(locked.text(0, 0));
          const auto answer = grants.call(call, time.number(0, 0), time.number(0, 1));
          in.run("UPDATE sluice.rate_windows SET state = $2 WHERE name = $1",
                 postgres_parameters().put(call.window).put(grants.text()));
          return answer;
        },
        if_unclear::say_so);
  }

 private:
  static work_counters counters_in(const postgres_rows& rows, std::size_t row, std::size_t column) {
    work_counters sums;
    sums.succeeded = count_in(rows, row, column);
    sums.failed = count_in(rows, row, column + 1);
    sums.attempts = count_in(rows, row, column + 2);
    sums.retries = count_in(rows, row, column + 3);
    sums.maybe_billed = count_in(rows, row, column + 4);
    sums.cost = money_in(rows, row, column + 5);
    sums.kept = money_in(rows, row, column + 6);
    return sums;
  }

  static void insert_results(postgres_transaction& in, job_id job,
                             const std::vector<finished_line>& lines) {
    if (lines.empty()) return;
    number_column numbers;
    number_column succeeded;
    std::vector<std::string> texts;
    for (const finished_line& one : lines) {
      numbers.add(one.line);
      succeeded.add(std::int64_t{one.succeeded});
      texts.push_back(one.text);
    }
    in.run(
        "INSERT INTO sluice.job_results (job, line, succeeded, text) SELECT $1, l, s <> 0, t FROM "
        "unnest($2::bigint[], $3::bigint[], $4::text[]) AS u(l, s, t)",
        postgres_parameters()
            .put(job)
            .put_numbers(numbers.values)
            .put_numbers(succeeded.values)
            .put_texts(texts));
  }

  void drop(const char* table, job_id job) {
    database_.transact(
        [&](postgres_transaction& in) {
          // The DROP and the transactions of workers wait for each other, so the wait is limited.
          in.run_all("SET LOCAL lock_timeout = '5s'");
          in.run_all(fmt::format("DROP TABLE IF EXISTS sluice.{}_{}", table, job));
        },
        if_unclear::run_again);
  }

  static void split_off(postgres_transaction& in, chunk_record& chunk, std::uint64_t first) {
    const auto finished = in.run(
        "SELECT count(*) FROM sluice.job_results WHERE job = $1 AND line >= $2 AND line <= "
        "$3",
        postgres_parameters().put(chunk.job).put(first).put(chunk.last));
    const auto number =
        in.run("UPDATE sluice.jobs SET chunks = chunks + 1 WHERE id = $1 RETURNING chunks - 1",
               postgres_parameters().put(chunk.job));
    insert(in, split(chunk, first, number.number(0, 0), count_in(finished, 0, 0)));
  }

  static claim_answer try_claim(postgres_transaction& in, const claim_request& request) {
    claim_answer answer;
    answer.now = check_version(in);
    lease_columns silent;
    number_column silent_until;
    for (const leased_chunk& one : request.silent) {
      silent.add(one.key);
      silent_until.add(one.until);
    }
    lease_columns own;
    for (const lease_key& key : request.held) own.add(key);
    lease_columns skipped;
    for (const auto& [job, chunk] : request.skipped_chunks) skipped.add({job, chunk, 0});
    const auto jobs = in.run(
        fmt::format("SELECT {} FROM sluice.jobs WHERE ready AND NOT finished AND (simulated IS "
                    "NULL OR simulated = $1) AND NOT id = ANY($3::bigint[]) ORDER BY id <= $2, id",
                    job_columns),
        postgres_parameters()
            .put(request.simulated)
            .put(request.after)
            .put_numbers(request.skipped_jobs));
    for (std::size_t row = 0; row < jobs.size(); ++row) {
      job_record job = job_in(jobs, row);
      if (job.exhausted) {
        answer.exhausted.push_back(job.name);
        continue;
      }
      const auto left = money_left(job);
      const auto found = in.run(
          fmt::format("SELECT {} FROM sluice.job_chunks c WHERE job = $1 AND (state = 0 OR (state "
                      "= 1 AND ({} < $2 OR EXISTS (SELECT 1 FROM unnest($3::bigint[], "
                      "$4::bigint[], $5::bigint[], $6::bigint[]) AS u(j, n, e, t) WHERE u.j = "
                      "c.job AND u.n = c.number AND u.e = c.epoch AND u.t = {})) AND NOT EXISTS "
                      "(SELECT 1 FROM unnest($8::bigint[], $9::bigint[], $10::bigint[]) AS h(j, n, "
                      "e) WHERE h.j = c.job AND h.n = c.number AND h.e = c.epoch))) AND (needs IS "
                      "NULL OR $7::text IS NULL OR needs <= $7::text::numeric) AND (state = 1 OR "
                      "NOT EXISTS (SELECT 1 FROM unnest($11::bigint[], $12::bigint[]) AS s(j, n) "
                      "WHERE s.j = c.job AND s.n = c.number)) ORDER BY {}number LIMIT 1 FOR UPDATE "
                      "SKIP LOCKED",
                      chunk_columns, lease_end, lease_end,
                      request.relieve_first ? "state DESC, " : ""),
          postgres_parameters()
              .put(job.id)
              .put(std::min(request.over_before.value_or(answer.now), answer.now))
              .put_numbers(silent.jobs.values)
              .put_numbers(silent.chunks.values)
              .put_numbers(silent.epochs.values)
              .put_numbers(silent_until.values)
              .put(left ? std::optional(left->to_string()) : std::nullopt)
              .put_numbers(own.jobs.values)
              .put_numbers(own.chunks.values)
              .put_numbers(own.epochs.values)
              .put_numbers(skipped.jobs.values)
              .put_numbers(skipped.chunks.values));
      if (found.empty() && note_exhausted(in, job)) {
        answer.exhausted.push_back(job.name);
        continue;
      }
      if (found.empty()) {
        answer.more_to_come = answer.more_to_come || has_other_chunks(in, job.id, request);
        list_leases(in, job.id, answer);
        continue;
      }
      if (!take_job(in, job, request)) continue;
      // The job may have got a budget before its chunk was locked.
      const auto now = in.run(
          fmt::format("SELECT {}, EXISTS (SELECT 1 FROM sluice.job_chunks WHERE job = $1 AND "
                      "succeeded > 0) FROM sluice.jobs WHERE id = $1",
                      job_columns),
          postgres_parameters().put(job.id));
      take(in, chunk_in(found, 0), job_in(now, 0), request, answer);
      answer.got->had_success = now.flag(0, job_column_count);
      return answer;
    }
    return answer;
  }

  // Marks the job as exhausted and returns true, if the rest of the budget does not cover any line
  // and no reservation can free more.
  static bool note_exhausted(postgres_transaction& in, const job_record& job) {
    if (!job.budget || job.reserved != usd{}) return false;
    // Locks the job first, so that the next statement sees the earlier changes of other
    // transactions.
    in.run("SELECT 1 FROM sluice.jobs WHERE id = $1 FOR UPDATE", postgres_parameters().put(job.id));
    const auto set = in.run(
        "UPDATE sluice.jobs j SET exhausted = true WHERE id = $1 AND NOT finished AND budget IS "
        "NOT NULL AND reserved = 0 AND NOT EXISTS (SELECT 1 FROM sluice.job_chunks c WHERE c.job = "
        "j.id AND state <> 2 AND (needs IS NULL OR needs <= budget - spent))",
        postgres_parameters().put(job.id));
    return set.changed() > 0;
  }

  static void list_leases(postgres_transaction& in, job_id job, claim_answer& answer) {
    const auto rows =
        in.run(fmt::format("SELECT number, epoch, {}, lease_length FROM sluice.job_chunks c "
                           "WHERE job = $1 AND state = 1",
                           lease_end),
               postgres_parameters().put(job));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      answer.leased.push_back({{job, rows.number(row, 0), rows.number(row, 1)},
                               rows.number(row, 2),
                               std::chrono::microseconds{rows.number(row, 3)}});
    }
  }

  static bool has_other_chunks(postgres_transaction& in, job_id job, const claim_request& request) {
    number_column numbers;
    number_column epochs;
    for (const lease_key& key : request.held) {
      if (key.job != job) continue;
      numbers.add(key.chunk);
      epochs.add(key.epoch);
    }
    number_column skipped;
    for (const auto& [of, chunk] : request.skipped_chunks) {
      if (of == job) skipped.add(chunk);
    }
    return in
        .run(
            "SELECT EXISTS (SELECT 1 FROM sluice.job_chunks c WHERE job = $1 AND state <> 2 AND "
            "NOT EXISTS (SELECT 1 FROM unnest($2::bigint[], $3::bigint[]) AS u(n, e) WHERE u.n = "
            "c.number AND u.e = c.epoch) AND NOT number = ANY($4::bigint[]))",
            postgres_parameters()
                .put(job)
                .put_numbers(numbers.values)
                .put_numbers(epochs.values)
                .put_numbers(skipped.values))
        .flag(0, 0);
  }

  // The first lease decides whether the simulator serves the job. Returns false if it was decided
  // differently.
  static bool take_job(postgres_transaction& in, job_record& job, const claim_request& request) {
    if (job.simulated && job.started_at) return true;
    const auto set = in.run(
        "UPDATE sluice.jobs SET simulated = $2, started_at = coalesce(started_at, "
        "clock_timestamp()) WHERE id = $1 AND (simulated IS NULL OR simulated = $2)",
        postgres_parameters().put(job.id).put(request.simulated));
    job.simulated = request.simulated;
    return set.changed() > 0;
  }

  static void take(postgres_transaction& in, chunk_record chunk, job_record job,
                   const claim_request& request, claim_answer& answer) {
    std::vector<usd> open;
    if (chunk.state == chunk_state::leased) {
      const auto attempts = in.run(
          "UPDATE sluice.job_attempts a SET open = false WHERE job = $1 AND line >= $2 AND line <= "
          "$3 AND open AND NOT EXISTS (SELECT 1 FROM sluice.job_results r WHERE r.job = a.job AND "
          "r.line = a.line) RETURNING most::text",
          postgres_parameters().put(chunk.job).put(chunk.first).put(chunk.last));
      for (std::size_t i = 0; i < attempts.size(); ++i) open.push_back(money_in(attempts, i, 0));
    }
    const money_change moved = take_lease(chunk, request.worker, open);
    save(in, chunk, micros(request.lease));
    move_money(in, chunk.job, moved);
    lease got;
    got.key = {chunk.job, chunk.number, chunk.epoch};
    got.job = std::move(job);
    got.job.spent += moved.spent;
    got.job.reserved -= moved.released;
    got.first = chunk.first;
    got.last = chunk.last;
    got.requests =
        in.run("SELECT requests FROM sluice.job_blocks WHERE job = $1 AND number = $2",
               postgres_parameters().put(chunk.job).put(chunk.block), result_format::binary)
            .text(0, 0);
    const auto range = postgres_parameters().put(chunk.job).put(chunk.first).put(chunk.last);
    const auto finished = in.run(
        "SELECT line FROM sluice.job_results WHERE job = $1 AND line >= $2 AND line <= $3 ORDER BY "
        "line",
        range);
    for (std::size_t i = 0; i < finished.size(); ++i)
      got.finished.push_back(count_in(finished, i, 0));
    if (chunk.epoch > 1 || chunk.sums.attempts > 0) {
      const auto attempts = in.run(
          "SELECT line, max(number) FROM sluice.job_attempts WHERE job = $1 AND line >= $2 AND "
          "line <= $3 GROUP BY line",
          range);
      for (std::size_t i = 0; i < attempts.size(); ++i) {
        got.attempts[count_in(attempts, i, 0)] = static_cast<std::uint32_t>(attempts.number(i, 1));
      }
    }
    answer.relieved_attempts = open.size();
    answer.got = std::move(got);
  }

  static commit_answer try_commit(postgres_transaction& in, const change_batch& batch) {
    // Changes nothing, and returns no row, if the batch is already stored.
    const auto worker = in.run(
        "INSERT INTO sluice.job_workers AS w (name, sequence) VALUES ($1, $2) ON CONFLICT (name) "
        "DO UPDATE SET sequence = excluded.sequence, seen = clock_timestamp() WHERE w.sequence < "
        "excluded.sequence RETURNING (SELECT version FROM sluice.job_schema), (extract(epoch FROM "
        "clock_timestamp()) * 1000000)::bigint",
        postgres_parameters().put(batch.worker).put(batch.sequence));
    const bool again = worker.empty();
    commit_answer answer;
    if (again) {
      answer.now = check_version(in);
    } else {
      require_job_schema(worker.number(0, 0));
      answer.now = worker.number(0, 1);
    }
    std::map<lease_key, chunk_record> held = lock_chunks(in, batch);
    std::set<job_id> jobs;
    for (const chunk_changes& one : batch.chunks) {
      if (held.contains(one.key)) {
        jobs.insert(one.key.job);
      } else {
        answer.lost.push_back(one.key);
      }
    }
    if (again || held.empty()) return answer;
    const auto with_budget = jobs_with_budget(in, jobs);
    insert_attempts(in, batch, held);
    std::map<job_id, money_change> money;
    std::set<job_id> with_done;
    std::map<job_id, std::vector<finished_line>> results;
    for (const chunk_changes& one : batch.chunks) {
      const auto found = held.find(one.key);
      if (found == held.end()) continue;
      chunk_record& chunk = found->second;
      const money_change moved = apply(chunk, one, with_budget.contains(one.key.job));
      money[chunk.job].spent += moved.spent;
      money[chunk.job].released += moved.released;
      if (chunk.state == chunk_state::done) with_done.insert(chunk.job);
      for (const new_result& result : one.results) results[chunk.job].push_back(result.line);
      save(in, chunk, micros(batch.lease));
    }
    for (const auto& [job, lines] : results) insert_results(in, job, lines);
    for (const auto& [job, change] : money) {
      if (with_budget.contains(job)) move_money(in, job, change);
    }
    for (const job_id job : with_done) finish_if_done(in, job);
    return answer;
  }

  // Locks chunks in the same order for all workers, to prevent deadlocks.
  static std::map<lease_key, chunk_record> lock_chunks(postgres_transaction& in,
                                                       const change_batch& batch) {
    std::map<lease_key, chunk_record> held;
    if (batch.chunks.empty()) return held;
    lease_columns leases;
    for (const chunk_changes& one : batch.chunks) leases.add(one.key);
    const auto rows = in.run(
        fmt::format("SELECT {} FROM sluice.job_chunks c JOIN unnest($1::bigint[], $2::bigint[], "
                    "$3::bigint[]) AS u(j, n, e) ON c.job = u.j AND c.number = u.n AND c.epoch = "
                    "u.e WHERE c.state = 1 ORDER BY c.job, c.number FOR UPDATE OF c",
                    chunk_columns),
        postgres_parameters()
            .put_numbers(leases.jobs.values)
            .put_numbers(leases.chunks.values)
            .put_numbers(leases.epochs.values));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      chunk_record chunk = chunk_in(rows, row);
      const lease_key key{chunk.job, chunk.number, chunk.epoch};
      held.emplace(key, std::move(chunk));
    }
    return held;
  }

  static std::set<job_id> jobs_with_budget(postgres_transaction& in, const std::set<job_id>& jobs) {
    const std::vector<std::int64_t> ids(jobs.begin(), jobs.end());
    const auto rows =
        in.run("SELECT id FROM sluice.jobs WHERE id = ANY($1::bigint[]) AND budget IS NOT NULL",
               postgres_parameters().put_numbers(ids));
    std::set<job_id> found;
    for (std::size_t row = 0; row < rows.size(); ++row) found.insert(rows.number(row, 0));
    return found;
  }

  static void insert_attempts(postgres_transaction& in, const change_batch& batch,
                              const std::map<lease_key, chunk_record>& held) {
    struct columns {
      number_column jobs, lines, numbers;
      std::vector<std::string> most;
    } started, ended;
    for (const chunk_changes& one : batch.chunks) {
      if (!held.contains(one.key)) continue;
      for (const started_attempt& attempt : one.started) {
        started.jobs.add(one.key.job);
        started.lines.add(attempt.line);
        started.numbers.add(std::int64_t{attempt.number});
        started.most.push_back(attempt.most.to_string());
      }
      for (const ended_attempt& attempt : one.ended) {
        ended.jobs.add(one.key.job);
        ended.lines.add(attempt.line);
        ended.numbers.add(std::int64_t{attempt.number});
      }
    }
    if (!started.most.empty()) {
      in.run(
          "INSERT INTO sluice.job_attempts (job, line, number, most) SELECT j, l, n, m::numeric "
          "FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[]) AS u(j, l, n, m) ON "
          "CONFLICT (job, line, number) DO UPDATE SET open = true, most = excluded.most, at = "
          "clock_timestamp()",
          postgres_parameters()
              .put_numbers(started.jobs.values)
              .put_numbers(started.lines.values)
              .put_numbers(started.numbers.values)
              .put_texts(started.most));
    }
    if (!ended.jobs.values.empty()) {
      in.run(
          "UPDATE sluice.job_attempts a SET open = false FROM unnest($1::bigint[], $2::bigint[], "
          "$3::bigint[]) AS u(j, l, n) WHERE a.job = u.j AND a.line = u.l AND a.number = u.n",
          postgres_parameters()
              .put_numbers(ended.jobs.values)
              .put_numbers(ended.lines.values)
              .put_numbers(ended.numbers.values));
    }
  }

  store::postgres_database database_;
  store::postgres_database windows_;
};

}  // namespace

std::unique_ptr<job_store> open_postgres_jobs(const std::string& url) {
  return std::make_unique<postgres_jobs>(url);
}

}  // namespace sluice::cluster
