#include "store/postgres_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "store/batch_life.hpp"
#include "store/postgres_schema.hpp"
#include "store/record_columns.hpp"

namespace sluice::store {
namespace {

using parameters = postgres_parameters;

// Reads one row, from the first column on.
class postgres_row {
 public:
  postgres_row(const postgres_rows& rows, std::size_t number, const std::string& database)
      : rows_(rows), number_(number), database_(database) {}

  std::int64_t get_number() { return rows_.number(number_, column_++); }
  std::string get_text() { return std::string(rows_.text(number_, column_++)); }
  std::optional<std::int64_t> get_optional_number() {
    return rows_.optional_number(number_, column_++);
  }
  std::optional<std::string> get_optional_text() { return rows_.optional_text(number_, column_++); }
  [[noreturn]] void damaged(std::string_view why) const {
    throw store_error(fmt::format("{}: a row of sluice's tables is damaged ({}); restore a backup",
                                  database_, why));
  }

 private:
  const postgres_rows& rows_;
  std::size_t number_;
  const std::string& database_;
  std::size_t column_ = 0;
};

// "$1, $2, $3" for a list of columns.
std::string numbered_placeholders(std::string_view columns, int first = 1) {
  std::string places;
  const auto count = std::ranges::count(columns, ',') + 1;
  for (int n = 0; n < count; ++n) places += fmt::format("{}${}", n == 0 ? "" : ", ", first + n);
  return places;
}

// Files and batches in a PostgreSQL database. Thread safe. Each change first locks the rows on
// which it depends. If the answer to COMMIT is lost, the change runs again and gives the same
// result.
class postgres_store final : public batch_store {
 public:
  postgres_store(postgres_database& database, lease_clock clock)
      : database_(database),
        name_(database.name()),
        now_(clock == lease_clock::database
                 ? "coalesce(extract(epoch FROM clock_timestamp())::double precision, "
                   "$1::double precision)"
                 : "$1::double precision") {
    migrate(database_, postgres_batches());
  }

  // Files.

  void add_file(const file_record& file) override {
    change([&](postgres_transaction& in, bool again) { insert(in, file, again); });
  }

  std::optional<file_record> find_file(std::string_view owner, std::string_view id) override {
    return first<file_record>(database_.read(
        fmt::format("SELECT {} FROM sluice.files WHERE owner = $1 AND id = $2", file_columns),
        parameters().put(owner).put(id)));
  }

  page<file_record> list_files(std::string_view owner, const file_filter& filter) override {
    return list<file_record>({"files", file_columns, owner, filter.purpose, filter.ascending},
                             filter.part);
  }

  bool remove_file(std::string_view owner, std::string_view id) override {
    // An earlier run may have removed the file. So if this run finds nothing, there may still have
    // been a file.
    bool removed = false;
    change([&](postgres_transaction& in, bool) {
      removed |= in.run("DELETE FROM sluice.files WHERE owner = $1 AND id = $2",
                        parameters().put(owner).put(id))
                     .changed() > 0;
    });
    return removed;
  }

  std::vector<file_record> remove_expired_files(std::int64_t now, std::size_t most) override {
    // The result includes files that a commit of unknown outcome may have removed: they had
    // expired.
    std::vector<file_record> expired;
    change([&](postgres_transaction& in, bool again) {
      if (!again) expired.clear();
      const auto rows =
          in.run(fmt::format("WITH old AS (SELECT id FROM sluice.files WHERE expires_at <= $1 "
                             "ORDER BY expires_at, sequence LIMIT $2 FOR UPDATE SKIP LOCKED), "
                             "gone AS (DELETE FROM sluice.files USING old WHERE files.id = old.id "
                             "RETURNING files.*) "
                             "SELECT {} FROM gone ORDER BY expires_at, sequence",
                             file_columns),
                 parameters().put(now).put(limit_of(most)));
      for (auto& file : all<file_record>(rows)) {
        if (std::ranges::find(expired, file.id, &file_record::id) == expired.end()) {
          expired.push_back(std::move(file));
        }
      }
    });
    return expired;
  }

  bool has_file(std::string_view id) override {
    return !database_.read("SELECT 1 FROM sluice.files WHERE id = $1", parameters().put(id))
                .empty();
  }

  // Batches, as their owners see them.

  bool create_batch(const batch_record& batch) override {
    return change([&](postgres_transaction& in, bool again) {
      // The lock keeps the file until the batch is stored. From then on the batch keeps the file's
      // bytes.
      if (in.run("SELECT 1 FROM sluice.files WHERE owner = $1 AND id = $2 FOR KEY SHARE",
                 parameters().put(batch.owner).put(batch.input_file_id))
              .empty()) {
        return again && is_stored(in, batch);
      }
      parameters values;
      put_batch(values, batch);
      const auto added =
          in.run(fmt::format("INSERT INTO sluice.batches ({}) VALUES ({}) ON CONFLICT DO NOTHING",
                             batch_columns, numbered_placeholders(batch_columns)),
                 values);
      if (added.changed() == 0 && !(again && is_stored(in, batch))) exists(batch.id);
      return true;
    });
  }

  std::optional<batch_record> find_batch(std::string_view owner, std::string_view id) override {
    return first<batch_record>(database_.read(
        fmt::format("SELECT {} FROM sluice.batches WHERE owner = $1 AND id = $2", batch_columns),
        parameters().put(owner).put(id)));
  }

  page<batch_record> list_batches(std::string_view owner, const page_request& which) override {
    return list<batch_record>({"batches", batch_columns, owner, {}, false}, which);
  }

  std::optional<batch_record> request_cancel(std::string_view owner, std::string_view id,
                                             std::int64_t now) override {
    return change([&](postgres_transaction& in, bool) {
      auto batch = first<batch_record>(
          in.run(fmt::format("SELECT {} FROM sluice.batches WHERE owner = $1 AND id = $2 "
                             "FOR NO KEY UPDATE",
                             batch_columns),
                 parameters().put(owner).put(id)));
      if (batch && cancel(*batch, now)) replace(in, *batch);
      return batch;
    });
  }

  std::vector<batch_record> open_batches() override {
    return all<batch_record>(database_.read(
        fmt::format("SELECT {} FROM sluice.batches WHERE {} ORDER BY created_at, sequence",
                    batch_columns, is_open_batch),
        parameters()));
  }

  usd spent_by_others(std::string_view owner, std::string_view batch) override {
    const auto rows = database_.read(spent_by_others_sql(), parameters().put(owner).put(batch));
    postgres_row row(rows, 0, name_);
    const usd billions = *usd::parse("1000000000") * row.get_number();
    return billions + get_amount(row);
  }

  // If the outcome of COMMIT is unknown, this is an error, because a second run would add the
  // amount twice.
  usd add_call_spend(std::string_view owner, usd amount) override {
    if (amount == usd{}) return call_spend(owner);
    return database_.transact([&](postgres_transaction& in) {
      in.run("INSERT INTO sluice.call_spend VALUES ($1, '0') ON CONFLICT (owner) DO NOTHING",
             parameters().put(owner));
      const auto rows = in.run("SELECT spent FROM sluice.call_spend WHERE owner = $1 FOR UPDATE",
                               parameters().put(owner));
      postgres_row row(rows, 0, name_);
      const usd spent = get_amount(row) + amount;
      in.run("UPDATE sluice.call_spend SET spent = $2 WHERE owner = $1",
             parameters().put(owner).put(spent.to_string()));
      return spent;
    });
  }

  // Work on batches.

  std::optional<claim> claim_batch(std::string_view server, const skipped_batches& skipped,
                                   std::int64_t now, std::int64_t lease_s) override {
    return claim_first(false, server, skipped, now, lease_s);
  }

  std::optional<claim> claim_ending(std::string_view server, const skipped_batches& skipped,
                                    std::int64_t now, std::int64_t lease_s) override {
    return claim_first(true, server, skipped, now, lease_s);
  }

  std::optional<batch_record> claimed(const claim& held) override {
    return first<batch_record>(database_.read(
        fmt::format("SELECT {} FROM sluice.batches WHERE {}", batch_columns, is_held), of(held)));
  }

  void renew_claims(std::span<const claim> held, std::int64_t now, std::int64_t lease_s) override {
    if (held.empty()) return;
    std::vector<std::string> ids;
    std::vector<std::int64_t> epochs;
    for (const claim& each : held) {
      ids.push_back(each.batch);
      epochs.push_back(static_cast<std::int64_t>(each.epoch));
    }
    change([&](postgres_transaction& in, bool) {
      // Locks the rows in the order of the key, so that two calls wait for each other instead of
      // ending in a deadlock.
      in.run(fmt::format("WITH own AS (SELECT batches.id FROM sluice.batches JOIN unnest($3, $4) "
                         "AS held (id, epoch) ON batches.id = held.id AND batches.epoch = "
                         "held.epoch WHERE server IS NOT NULL AND {} ORDER BY batches.id "
                         "FOR NO KEY UPDATE OF batches) "
                         "UPDATE sluice.batches SET lease_until = {} + $2::double precision "
                         "FROM own WHERE batches.id = own.id",
                         is_open_batch, now_),
             parameters().put(now).put(lease_s).put_texts(ids).put_numbers(epochs));
    });
  }

  void release_claims(std::string_view server) override {
    change([&](postgres_transaction& in, bool) {
      in.run(fmt::format("WITH own AS (SELECT id FROM sluice.batches WHERE server = $1 AND {} "
                         "ORDER BY id FOR NO KEY UPDATE) "
                         "UPDATE sluice.batches SET {} FROM own WHERE batches.id = own.id",
                         is_open_batch, no_server),
             parameters().put(server));
    });
  }

  void release(const claim& held) override {
    change([&](postgres_transaction& in, bool) { release_in(in, held); });
  }

  bool claim_owner(const claim& held, std::int64_t now) override {
    return change([&](postgres_transaction& in, bool) {
      const auto batch = held_in(in, held);
      if (!batch) return false;
      // Only one claim of an owner at a time passes this lock.
      in.run("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
             parameters().put("sluice owner " + batch->owner));
      const bool others =
          !in.run(fmt::format("SELECT 1 FROM sluice.batches WHERE owner = $2 AND id <> $3 AND sole "
                              "AND server IS NOT NULL AND lease_until > {} AND {} LIMIT 1",
                              now_, is_open_batch),
                  parameters().put(now).put(batch->owner).put(held.batch))
               .empty();
      if (others) return false;
      in.run(fmt::format("UPDATE sluice.batches SET sole = true WHERE {}", is_held), of(held));
      return true;
    });
  }

  bool accept_lines(const claim& held, const accepted_lines& lines, std::int64_t now) override {
    return change_held(held, [&](batch_record& batch) { accept(batch, lines, now); });
  }

  bool refuse_lines(const claim& held, const std::vector<batch_error>& errors,
                    std::int64_t now) override {
    return change_held(held, [&](batch_record& batch) { refuse(batch, errors, now); });
  }

  bool save_progress(const claim& held, const batch_progress& progress) override {
    return change([&](postgres_transaction& in, bool) {
      parameters values = of(held);
      put_progress(values, progress);
      return in.run(fmt::format("UPDATE sluice.batches SET ({}) = ({}) WHERE {}", progress_columns,
                                numbered_placeholders(progress_columns, 3), is_held),
                    values)
                 .changed() > 0;
    });
  }

  bool begin_finalizing(const claim& held, const finalizing& how, std::int64_t now) override {
    return change_held(held, [&](batch_record& batch) { decide_end(batch, how, now); });
  }

  bool finish(const claim& held, const finished_batch& results, std::int64_t now) override {
    return change([&](postgres_transaction& in, bool again) {
      auto batch = held_in(in, held);
      // An earlier run may have ended the claim.
      if (!batch) return again && ended_under(in, held);
      end(*batch, results, now);
      replace(in, *batch);
      if (results.output) insert(in, *results.output, false);
      if (results.errors) insert(in, *results.errors, false);
      release_in(in, held);
      return true;
    });
  }

  // Webhooks.

  bool announce(const claim& held, std::int64_t now) override {
    return change([&](postgres_transaction& in, bool) {
      if (!held_in(in, held)) return false;
      in.run(
          "INSERT INTO sluice.announcements (batch, due_at) VALUES ($1, $2) "
          "ON CONFLICT DO NOTHING",
          parameters().put(held.batch).put(now));
      return true;
    });
  }

  // If the outcome of COMMIT is unknown, this is an error, because a second run would begin another
  // try.
  std::optional<announcement> next_announcement(std::int64_t now, std::int64_t again_at) override {
    return database_.transact([&](postgres_transaction& in) -> std::optional<announcement> {
      const auto due =
          in.run(fmt::format("SELECT batch, tries FROM sluice.announcements JOIN sluice.batches "
                             "ON batch = id WHERE due_at <= $1 AND NOT ({}) "
                             "ORDER BY due_at, batch LIMIT 1 "
                             "FOR UPDATE OF announcements SKIP LOCKED",
                             is_open_batch),
                 parameters().put(now));
      if (due.empty()) return std::nullopt;
      const std::string id(due.text(0, 0));
      announcement found;
      found.tries = static_cast<unsigned>(due.number(0, 1)) + 1;
      found.batch =
          first<batch_record>(
              in.run(fmt::format("SELECT {} FROM sluice.batches WHERE id = $1", batch_columns),
                     parameters().put(id)))
              .value();
      in.run("UPDATE sluice.announcements SET tries = $2, due_at = $3 WHERE batch = $1",
             parameters().put(id).put(std::int64_t{found.tries}).put(again_at));
      return found;
    });
  }

  void settle_announcement(std::string_view batch, std::optional<std::int64_t> again_at) override {
    change([&](postgres_transaction& in, bool) {
      if (again_at) {
        in.run("UPDATE sluice.announcements SET due_at = $2 WHERE batch = $1",
               parameters().put(batch).put(*again_at));
      } else {
        in.run("DELETE FROM sluice.announcements WHERE batch = $1", parameters().put(batch));
      }
    });
  }

 private:
  // Condition for the batch of a claim, unless the claim is lost.
  static constexpr std::string_view is_held = "id = $1 AND epoch = $2 AND server IS NOT NULL";
  static constexpr std::string_view no_server = "server = NULL, lease_until = 0, sole = false";

  // Describes a list of one owner's records.
  struct record_list {
    std::string_view table;
    std::string_view columns;
    std::string_view owner;
    std::string_view purpose;  // empty: all
    bool ascending = false;
  };

  static parameters of(const claim& held) { return parameters().put(held.batch).put(held.epoch); }

  // Runs `work(transaction, again)`. `again`: an earlier run of the work may have been stored.
  template <typename Work>
  std::invoke_result_t<Work&, postgres_transaction&, bool> change(Work work) {
    bool again = false;
    return database_.transact(
        [&, first_run = true](postgres_transaction& in) mutable {
          again = !std::exchange(first_run, false);
          return work(in, again);
        },
        if_unclear::run_again);
  }

  usd call_spend(std::string_view owner) {
    const auto rows = database_.read("SELECT spent FROM sluice.call_spend WHERE owner = $1",
                                     parameters().put(owner));
    if (rows.empty()) return {};
    postgres_row row(rows, 0, name_);
    return get_amount(row);
  }

  // `ending`: only a batch that has nothing left to do but to end.
  std::optional<claim> claim_first(bool ending, std::string_view server,
                                   const skipped_batches& skipped, std::int64_t now,
                                   std::int64_t lease_s) {
    const std::string which =
        ending ? fmt::format(" AND ({} OR expires_at <= $1)", is_ending_batch) : "";
    return change([&](postgres_transaction& in, bool) -> std::optional<claim> {
      const auto rows = in.run(
          fmt::format(
              "WITH free AS (SELECT id FROM sluice.batches WHERE {} AND "
              "(server IS NULL OR lease_until <= {}) AND id <> ALL ($4) AND owner <> ALL ($5){} "
              "ORDER BY priority DESC, created_at, sequence LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) "
              "UPDATE sluice.batches SET server = $2, epoch = epoch + 1, "
              "lease_until = {} + $3::double precision, sole = false FROM free "
              "WHERE batches.id = free.id RETURNING batches.id, epoch",
              is_open_batch, now_, which, now_),
          parameters()
              .put(now)
              .put(server)
              .put(lease_s)
              .put_texts(skipped.ids)
              .put_texts(skipped.owners));
      if (rows.empty()) return std::nullopt;
      return claim{std::string(rows.text(0, 0)), static_cast<std::uint64_t>(rows.number(0, 1))};
    });
  }

  template <typename Record>
  Record get(postgres_row row) const {
    if constexpr (std::is_same_v<Record, file_record>) {
      return get_file(row);
    } else {
      return get_batch(row);
    }
  }
  template <typename Record>
  std::vector<Record> all(const postgres_rows& rows) const {
    std::vector<Record> records;
    for (std::size_t n = 0; n < rows.size(); ++n) records.push_back(get<Record>({rows, n, name_}));
    return records;
  }
  template <typename Record>
  std::optional<Record> first(const postgres_rows& rows) const {
    if (rows.empty()) return std::nullopt;
    return get<Record>({rows, 0, name_});
  }

  template <typename Record>
  page<Record> list(const record_list& of_owner, const page_request& part) {
    page<Record> found;
    parameters values = parameters().put(of_owner.owner).put(limit_of(part.limit) + 1);
    int count = 2;
    std::string where = "owner = $1";
    if (!of_owner.purpose.empty()) {
      where += fmt::format(" AND purpose = ${}", ++count);
      values.put(of_owner.purpose);
    }
    if (!part.after.empty()) {
      where += fmt::format(
          " AND (created_at, sequence) {} (SELECT created_at, sequence FROM sluice.{} WHERE owner "
          "= $1 AND id = ${})",
          of_owner.ascending ? ">" : "<", of_owner.table, ++count);
      values.put(part.after);
    }
    const std::string_view order = of_owner.ascending ? "ASC" : "DESC";
    const auto rows = database_.read(
        fmt::format("SELECT {} FROM sluice.{} WHERE {} ORDER BY created_at {}, sequence {} LIMIT "
                    "$2",
                    of_owner.columns, of_owner.table, where, order, order),
        values);
    found.records = all<Record>(rows);
    found.has_more = found.records.size() > part.limit;
    if (found.has_more) found.records.pop_back();
    return found;
  }

  [[noreturn]] void exists(std::string_view id) const {
    throw store_error(fmt::format("{}: {} exists", name_, id));
  }

  // `again`: an earlier run of the transaction may have stored the record.
  void insert(postgres_transaction& in, const file_record& file, bool again) const {
    parameters values;
    put_file(values, file);
    // The INSERT waits for an earlier run that is still being stored.
    const auto added =
        in.run(fmt::format("INSERT INTO sluice.files ({}) VALUES ({}) ON CONFLICT DO NOTHING",
                           file_columns, numbered_placeholders(file_columns)),
               values);
    if (added.changed() > 0) return;
    const auto stored = first<file_record>(
        in.run(fmt::format("SELECT {} FROM sluice.files WHERE id = $1", file_columns),
               parameters().put(file.id)));
    if (!again || stored != file) exists(file.id);
  }

  // Returns whether the stored batch with this id is this batch, even if it has changed since.
  static bool is_stored(postgres_transaction& in, const batch_record& batch) {
    return !in.run(
                  "SELECT 1 FROM sluice.batches WHERE id = $1 AND owner = $2 AND "
                  "input_file_id = $3",
                  parameters().put(batch.id).put(batch.owner).put(batch.input_file_id))
                .empty();
  }

  // Locks and returns the batch of a claim; nothing if the claim is lost.
  std::optional<batch_record> held_in(postgres_transaction& in, const claim& held) const {
    return first<batch_record>(
        in.run(fmt::format("SELECT {} FROM sluice.batches WHERE {} FOR NO KEY UPDATE",
                           batch_columns, is_held),
               of(held)));
  }

  static void release_in(postgres_transaction& in, const claim& held) {
    in.run(fmt::format("UPDATE sluice.batches SET {} WHERE {}", no_server, is_held), of(held));
  }

  // Replaces the record with the same id.
  static void replace(postgres_transaction& in, const batch_record& batch) {
    parameters values = parameters().put(batch.id);
    put_batch(values, batch);
    in.run(fmt::format("UPDATE sluice.batches SET ({}) = ({}) WHERE id = $1", batch_columns,
                       numbered_placeholders(batch_columns, 2)),
           values);
  }

  // Changes the batch of a claim, and ends the claim if the batch ends. Returns false if the claim
  // is lost.
  template <typename Change>
  bool change_held(const claim& held, Change how) {
    return change([&](postgres_transaction& in, bool again) {
      auto batch = held_in(in, held);
      // An earlier run may have ended the claim.
      if (!batch) return again && ended_under(in, held);
      how(*batch);
      replace(in, *batch);
      if (has_ended(batch->status)) release_in(in, held);
      return true;
    });
  }

  // Returns whether the batch ended under this claim.
  static bool ended_under(postgres_transaction& in, const claim& held) {
    return !in.run(fmt::format("SELECT 1 FROM sluice.batches WHERE id = $1 AND epoch = $2 AND "
                               "server IS NULL AND NOT ({})",
                               is_open_batch),
                   of(held))
                .empty();
  }

  postgres_database& database_;
  const std::string name_;
  // SQL expression for the Unix time by the clock of the leases; $1 is the caller's time.
  const std::string now_;
};

}  // namespace

// One statement, so that a batch that ends meanwhile is counted once. A sum may be larger than what
// usd::parse() reads, so the billions of dollars have a column of their own.
std::string spent_by_others_sql() {
  return fmt::format(
      "WITH total AS MATERIALIZED (SELECT (SELECT coalesce(sum(ended_spent), 0) FROM "
      "sluice.batches WHERE owner = $1 AND id <> $2 AND ended_spent IS NOT NULL) + (SELECT "
      "coalesce(sum(spent::numeric), 0) FROM sluice.batches WHERE owner = $1 AND id <> $2 AND {}) "
      "AS spent) SELECT div(spent, 1000000000)::bigint, mod(spent, 1000000000) FROM total",
      is_open_batch);
}

std::unique_ptr<batch_store> open_postgres_store(postgres_database& database, lease_clock clock) {
  return std::make_unique<postgres_store>(database, clock);
}

}  // namespace sluice::store
