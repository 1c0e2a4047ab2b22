#include "store/sqlite_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <unordered_set>
#include <utility>

#include "store/batch_life.hpp"
#include "store/locked_file.hpp"
#include "store/record_columns.hpp"
#include "store/sqlite.hpp"
#include "store/sqlite_schema.hpp"

namespace sluice::store {
namespace {

// "?, ?, ?" for a list of columns.
std::string placeholders(std::string_view columns) {
  std::string places = "?";
  for (auto n = std::ranges::count(columns, ','); n > 0; --n) places += ", ?";
  return places;
}

// Files and batches in an SQLite database. Thread safe. A call that reads before it writes does
// both in one transaction. A single statement is its own transaction.
class sqlite_store final : public batch_store {
 public:
  explicit sqlite_store(const std::string& file) : file_(file), database_(file_.path()) {
    check_schema(database_);
    auto mode = prepare("PRAGMA journal_mode = WAL");
    if (!mode.step() || mode.get_text() != "wal") {
      throw store_error(fmt::format(
          "{}: SQLite cannot keep its write-ahead log there; choose a folder on a local disk",
          file_.path()));
    }
    mode.run();
    // Each commit waits for the disk: it survives a power failure.
    database_.run("PRAGMA synchronous = FULL");
    migrate(database_);
  }

  // Files.

  void add_file(const file_record& file) override {
    const std::lock_guard lock(one_at_a_time_);
    insert(file);
  }

  std::optional<file_record> find_file(std::string_view owner, std::string_view id) override {
    const std::lock_guard lock(one_at_a_time_);
    auto row = prepare("SELECT {} FROM files WHERE owner = ? AND id = ?", file_columns);
    if (!row.put(owner).put(id).step()) return std::nullopt;
    return get_file(row);
  }

  page<file_record> list_files(std::string_view owner, const file_filter& filter) override {
    const std::lock_guard lock(one_at_a_time_);
    return list<file_record>({"files", file_columns, owner, filter.purpose, filter.ascending},
                             filter.part, [](sqlite_statement& row) { return get_file(row); });
  }

  bool remove_file(std::string_view owner, std::string_view id) override {
    const std::lock_guard lock(one_at_a_time_);
    prepare("DELETE FROM files WHERE owner = ? AND id = ?").put(owner).put(id).run();
    return database_.changed_rows() > 0;
  }

  std::vector<file_record> remove_expired_files(std::int64_t now, std::size_t most) override {
    const std::lock_guard lock(one_at_a_time_);
    sqlite_transaction transaction(database_);
    std::vector<file_record> expired;
    auto row =
        prepare("SELECT {} FROM files WHERE expires_at <= ? ORDER BY expires_at, sequence LIMIT ?",
                file_columns);
    row.put(now).put(limit_of(most));
    while (row.step()) expired.push_back(get_file(row));
    for (const file_record& file : expired) {
      prepare("DELETE FROM files WHERE id = ?").put(file.id).run();
    }
    transaction.commit();
    return expired;
  }

  bool has_file(std::string_view id) override {
    const std::lock_guard lock(one_at_a_time_);
    return prepare("SELECT 1 FROM files WHERE id = ?").put(id).step();
  }

  // Batches, as their owners see them.

  bool create_batch(const batch_record& batch) override {
    const std::lock_guard lock(one_at_a_time_);
    sqlite_transaction transaction(database_);
    if (!find_file(batch.owner, batch.input_file_id)) return false;
    auto insertion =
        prepare("INSERT INTO batches ({}) VALUES ({})", batch_columns, placeholders(batch_columns));
    put_batch(insertion, batch);
    insertion.run();
    transaction.commit();
    return true;
  }

  std::optional<batch_record> find_batch(std::string_view owner, std::string_view id) override {
    const std::lock_guard lock(one_at_a_time_);
    auto row = prepare("SELECT {} FROM batches WHERE owner = ? AND id = ?", batch_columns);
    if (!row.put(owner).put(id).step()) return std::nullopt;
    return get_batch(row);
  }

  page<batch_record> list_batches(std::string_view owner, const page_request& which) override {
    const std::lock_guard lock(one_at_a_time_);
    return list<batch_record>({"batches", batch_columns, owner, {}, false}, which,
                              [](sqlite_statement& row) { return get_batch(row); });
  }

  std::optional<batch_record> request_cancel(std::string_view owner, std::string_view id,
                                             std::int64_t now) override {
    const std::lock_guard lock(one_at_a_time_);
    sqlite_transaction transaction(database_);
    auto batch = find_batch(owner, id);
    if (!batch || !cancel(*batch, now)) return batch;
    replace(*batch);
    transaction.commit();
    return batch;
  }

  std::vector<batch_record> open_batches() override {
    const std::lock_guard lock(one_at_a_time_);
    std::vector<batch_record> open;
    auto row = prepare("SELECT {} FROM batches WHERE {} ORDER BY created_at, sequence",
                       batch_columns, is_open_batch);
    while (row.step()) open.push_back(get_batch(row));
    return open;
  }

  usd spent_by_others(std::string_view owner, std::string_view batch) override {
    const std::lock_guard lock(one_at_a_time_);
    usd spent;
    auto row = prepare(
        "SELECT spent FROM batches WHERE owner = ? AND sequence IS NOT "
        "(SELECT sequence FROM batches WHERE id = ?)");
    row.put(owner).put(batch);
    while (row.step()) spent += get_amount(row);
    return spent;
  }

  usd add_call_spend(std::string_view owner, usd amount) override {
    const std::lock_guard lock(one_at_a_time_);
    if (amount == usd{}) return call_spend(owner);
    sqlite_transaction transaction(database_);
    const usd spent = call_spend(owner) + amount;
    prepare(
        "INSERT INTO call_spend (owner, spent) VALUES (?, ?) "
        "ON CONFLICT (owner) DO UPDATE SET spent = excluded.spent")
        .put(owner)
        .put(spent.to_string())
        .run();
    transaction.commit();
    return spent;
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
    const std::lock_guard lock(one_at_a_time_);
    auto row = prepare("SELECT {} FROM batches WHERE {}", batch_columns, is_held);
    if (!row.put(held.batch).put(held.epoch).step()) return std::nullopt;
    return get_batch(row);
  }

  void renew_claims(std::span<const claim> held, std::int64_t now, std::int64_t lease_s) override {
    const std::lock_guard lock(one_at_a_time_);
    if (held.empty()) return;
    sqlite_transaction transaction(database_);
    for (const claim& each : held) {
      prepare("UPDATE batches SET lease_until = ? WHERE {}", is_held)
          .put(now + lease_s)
          .put(each.batch)
          .put(each.epoch)
          .run();
    }
    transaction.commit();
  }

  void release_claims(std::string_view server) override {
    const std::lock_guard lock(one_at_a_time_);
    prepare("UPDATE batches SET {} WHERE server = ? AND {}", no_server, is_open_batch)
        .put(server)
        .run();
  }

  void release(const claim& held) override {
    const std::lock_guard lock(one_at_a_time_);
    prepare("UPDATE batches SET {} WHERE {}", no_server, is_held)
        .put(held.batch)
        .put(held.epoch)
        .run();
  }

  bool claim_owner(const claim& held, std::int64_t /*now*/) override {
    return claimed(held).has_value();
  }

  bool accept_lines(const claim& held, const accepted_lines& lines, std::int64_t now) override {
    const std::lock_guard lock(one_at_a_time_);
    return change(held, [&](batch_record& batch) { accept(batch, lines, now); });
  }

  bool refuse_lines(const claim& held, const std::vector<batch_error>& errors,
                    std::int64_t now) override {
    const std::lock_guard lock(one_at_a_time_);
    return change(held, [&](batch_record& batch) { refuse(batch, errors, now); });
  }

  bool save_progress(const claim& held, const batch_progress& progress) override {
    const std::lock_guard lock(one_at_a_time_);
    auto update = prepare("UPDATE batches SET ({}) = ({}) WHERE {}", progress_columns,
                          placeholders(progress_columns), is_held);
    put_progress(update, progress);
    update.put(held.batch).put(held.epoch).run();
    return database_.changed_rows() > 0;
  }

  bool begin_finalizing(const claim& held, const finalizing& how, std::int64_t now) override {
    const std::lock_guard lock(one_at_a_time_);
    return change(held, [&](batch_record& batch) { decide_end(batch, how, now); });
  }

  bool finish(const claim& held, const finished_batch& results, std::int64_t now) override {
    const std::lock_guard lock(one_at_a_time_);
    return change(held, [&](batch_record& batch) {
      end(batch, results, now);
      if (results.output) insert(*results.output);
      if (results.errors) insert(*results.errors);
    });
  }

  // Webhooks.

  bool announce(const claim& held, std::int64_t now) override {
    const std::lock_guard lock(one_at_a_time_);
    sqlite_transaction transaction(database_);
    if (!claimed(held)) return false;
    prepare("INSERT INTO announcements (batch, due_at) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .put(held.batch)
        .put(now)
        .run();
    transaction.commit();
    return true;
  }

  std::optional<announcement> next_announcement(std::int64_t now, std::int64_t again_at) override {
    const std::lock_guard lock(one_at_a_time_);
    sqlite_transaction transaction(database_);
    announcement found;
    {
      auto row = prepare(
          "SELECT {}, tries FROM batches JOIN announcements ON batch = id "
          "WHERE due_at <= ? AND NOT {} ORDER BY due_at, batch LIMIT 1",
          batch_columns, is_open_batch);
      if (!row.put(now).step()) return std::nullopt;
      found.batch = get_batch(row);
      found.tries = static_cast<unsigned>(row.get_number()) + 1;
    }
    prepare("UPDATE announcements SET tries = ?, due_at = ? WHERE batch = ?")
        .put(std::int64_t{found.tries})
        .put(again_at)
        .put(found.batch.id)
        .run();
    transaction.commit();
    return found;
  }

  void settle_announcement(std::string_view batch, std::optional<std::int64_t> again_at) override {
    const std::lock_guard lock(one_at_a_time_);
    if (again_at) {
      prepare("UPDATE announcements SET due_at = ? WHERE batch = ?")
          .put(*again_at)
          .put(batch)
          .run();
    } else {
      prepare("DELETE FROM announcements WHERE batch = ?").put(batch).run();
    }
  }

 private:
  // Condition for the batch of a claim, unless the claim is lost.
  static constexpr std::string_view is_held = "id = ? AND epoch = ? AND server IS NOT NULL";
  static constexpr std::string_view no_server = "server = NULL, lease_until = 0";

  // Describes a list of one owner's records.
  struct record_list {
    std::string_view table;
    std::string_view columns;
    std::string_view owner;
    std::string_view purpose;  // empty: all
    bool ascending = false;
  };

  template <typename... Parts>
  sqlite_statement prepare(fmt::format_string<const Parts&...> sql, const Parts&... parts) const {
    return {database_, fmt::format(sql, parts...)};
  }

  template <typename Record, typename Get>
  page<Record> list(const record_list& all, const page_request& part, Get get) {
    page<Record> found;
    std::int64_t created_at = 0;
    std::int64_t sequence = 0;
    if (!part.after.empty()) {
      auto last =
          prepare("SELECT created_at, sequence FROM {} WHERE owner = ? AND id = ?", all.table);
      if (!last.put(all.owner).put(part.after).step()) return found;
      created_at = last.get_number();
      sequence = last.get_number();
    }
    auto row = prepare(
        "SELECT {0} FROM {1} WHERE owner = ? {2} {3} ORDER BY created_at {4}, sequence {4} LIMIT ?",
        all.columns, all.table, all.purpose.empty() ? "" : "AND purpose = ?",
        part.after.empty() ? ""
        : all.ascending    ? "AND (created_at, sequence) > (?, ?)"
                           : "AND (created_at, sequence) < (?, ?)",
        all.ascending ? "ASC" : "DESC");
    row.put(all.owner);
    if (!all.purpose.empty()) row.put(all.purpose);
    if (!part.after.empty()) row.put(created_at).put(sequence);
    row.put(limit_of(part.limit) + 1);
    while (row.step()) {
      found.has_more = found.records.size() == part.limit;
      if (!found.has_more) found.records.push_back(get(row));
    }
    return found;
  }

  void insert(const file_record& file) {
    auto insertion =
        prepare("INSERT INTO files ({}) VALUES ({})", file_columns, placeholders(file_columns));
    put_file(insertion, file);
    insertion.run();
  }

  // Replaces the record with the same id.
  void replace(const batch_record& batch) {
    auto update = prepare("UPDATE batches SET ({}) = ({}) WHERE id = ?", batch_columns,
                          placeholders(batch_columns));
    put_batch(update, batch);
    update.put(batch.id).run();
  }

  // Changes the batch of a claim, and ends the claim if the batch ends. Returns false if the claim
  // is lost.
  template <typename Change>
  bool change(const claim& held, Change how) {
    sqlite_transaction transaction(database_);
    auto batch = claimed(held);
    if (!batch) return false;
    how(*batch);
    replace(*batch);
    if (has_ended(batch->status)) release(held);
    transaction.commit();
    return true;
  }

  usd call_spend(std::string_view owner) const {
    auto row = prepare("SELECT spent FROM call_spend WHERE owner = ?");
    return row.put(owner).step() ? get_amount(row) : usd{};
  }

  std::optional<claim> claim_first(bool ending, std::string_view server,
                                   const skipped_batches& skipped, std::int64_t now,
                                   std::int64_t lease_s) {
    const std::lock_guard lock(one_at_a_time_);
    sqlite_transaction transaction(database_);
    auto chosen = first_free(ending, skipped, now);
    if (!chosen) return std::nullopt;
    prepare("UPDATE batches SET server = ?, epoch = ?, lease_until = ? WHERE id = ?")
        .put(server)
        .put(++chosen->epoch)
        .put(now + lease_s)
        .put(chosen->batch)
        .run();
    transaction.commit();
    return chosen;
  }

  // Returns the batch to claim next, and the epoch of its last claim. `ending`: only a batch that
  // has nothing left to do but to end.
  std::optional<claim> first_free(bool ending, const skipped_batches& skipped, std::int64_t now) {
    const std::unordered_set<std::string_view> ids(skipped.ids.begin(), skipped.ids.end());
    const std::unordered_set<std::string_view> owners(skipped.owners.begin(), skipped.owners.end());
    auto row = prepare(
        "SELECT id, owner, epoch FROM batches WHERE {} AND (server IS NULL OR lease_until <= ?) {}"
        "ORDER BY priority DESC, created_at, sequence",
        is_open_batch, ending ? fmt::format("AND ({} OR expires_at <= ?) ", is_ending_batch) : "");
    row.put(now);
    if (ending) row.put(now);
    while (row.step()) {
      claim found;
      found.batch = row.get_text();
      const std::string owner = row.get_text();
      found.epoch = static_cast<std::uint64_t>(row.get_number());
      if (!ids.contains(found.batch) && !owners.contains(owner)) return found;
    }
    return std::nullopt;
  }

  std::recursive_mutex one_at_a_time_;  // recursive, because a call may use another one
  // Declared before the database, so that the lock is held as long as the database is open.
  locked_file file_;
  sqlite_database database_;
};

}  // namespace

std::unique_ptr<batch_store> open_sqlite_store(const std::string& file) {
  return std::make_unique<sqlite_store>(file);
}

}  // namespace sluice::store
