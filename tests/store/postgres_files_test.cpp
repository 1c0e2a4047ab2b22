#include "store/postgres_files.hpp"

#include <gmock/gmock.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "store/postgres_schema.hpp"
#include "store/postgres_stores.hpp"
#include "store/records.hpp"
#include "support/temp_dir.hpp"

namespace sluice::store {
namespace {

using test::temp_dir;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;
using kind = file_change::kind;

class postgres_files : public testing::Test {
 protected:
  bool add(const std::string& id, const std::string& bytes) {
    std::error_code error;
    const auto opened =
        disk->open(dir.write("bytes", bytes), file_system::open_as::read_only, error);
    return files->add(id, *opened);
  }
  // Returns nothing if the store has no bytes of the file.
  std::optional<std::string> fetch(const std::string& id) {
    std::string bytes;
    if (!files->fetch(id, [&](std::string_view piece) { bytes += piece; })) return std::nullopt;
    return bytes;
  }
  std::uint64_t rows(const std::string& table) {
    const auto found = database.read("SELECT count(*) FROM sluice." + table);
    return static_cast<std::uint64_t>(found.number(0, 0));
  }
  claim claim_batch(const std::string& id) {
    store->add_file(input_file("alice", "in-" + id));
    EXPECT_TRUE(store->create_batch(new_batch("alice", id, "in-" + id)));
    return store->claim_batch("server", {}, 100, 60).value();
  }
  std::map<std::string, std::string> of_batch(const std::string& id) {
    std::map<std::string, std::string> all;
    for (const auto& each : files->files_of(id)) {
      files->read(id, each.number, [&](std::string_view piece) { all[each.name] += piece; });
    }
    return all;
  }
  static file_change create(std::int64_t file, std::string name) {
    return {kind::create, file, 0, {}, std::move(name)};
  }
  static file_change append(std::int64_t file, std::uint64_t position, std::string bytes) {
    return {kind::append, file, position, std::move(bytes), {}};
  }

  static bool always() { return true; }

  temp_dir dir;
  std::unique_ptr<file_system> disk = system_files();
  postgres_database& database = empty_postgres();
  std::unique_ptr<batch_store> store = open_postgres_store(database, lease_clock::caller);
  std::unique_ptr<shared_files> files = open_postgres_files(database);
};

TEST_F(postgres_files, bytes_come_back_whatever_they_are) {
  std::string large;
  for (int n = 0; n < 200'000; ++n) large += std::to_string(n * 7919) + '\0';
  EXPECT_TRUE(add("file-1", large));
  EXPECT_TRUE(add("file-2", ""));
  EXPECT_EQ(fetch("file-1"), large);
  EXPECT_EQ(fetch("file-2"), "");
  EXPECT_EQ(fetch("file-3"), std::nullopt);
  EXPECT_EQ(rows("pieces"), (large.size() >> 20U) + 1);
}

TEST_F(postgres_files, bytes_that_are_stored_stay) {
  EXPECT_TRUE(add("file-1", "first"));
  EXPECT_FALSE(add("file-1", "second"));
  EXPECT_EQ(fetch("file-1"), "first");
}

TEST_F(postgres_files, bytes_stay_while_a_record_or_a_batch_needs_them) {
  const claim held = claim_batch("batch_1");
  add("in-batch_1", "x");
  files->release("in-batch_1");
  EXPECT_EQ(fetch("in-batch_1"), "x");
  ASSERT_TRUE(store->remove_file("alice", "in-batch_1"));
  files->release("in-batch_1");
  EXPECT_EQ(fetch("in-batch_1"), "x");
  ASSERT_TRUE(store->refuse_lines(held, {}, 110));
  files->release("in-batch_1");
  EXPECT_EQ(fetch("in-batch_1"), std::nullopt);
  EXPECT_EQ(rows("pieces"), 0);
}

TEST_F(postgres_files, a_sweep_removes_what_nothing_needs) {
  const claim held = claim_batch("batch_1");
  add("in-batch_1", "x");
  add("file-lost", "y");
  add("file-new", "z");
  database.transact([](postgres_transaction& in) {
    in.run("UPDATE sluice.contents SET stored_at = now() - interval '2 hours' WHERE id <> $1",
           postgres_parameters().put("file-new"));
  });
  ASSERT_TRUE(files->write(held, std::vector{create(1, "a"), append(1, 0, "abc")}));
  files->sweep(always);
  EXPECT_EQ(fetch("in-batch_1"), "x");
  EXPECT_EQ(fetch("file-lost"), std::nullopt);
  EXPECT_EQ(fetch("file-new"), "z");
  EXPECT_THAT(of_batch("batch_1"), ElementsAre(Pair("a", "abc")));
  ASSERT_TRUE(store->refuse_lines(held, {}, 110));
  files->sweep(always);
  EXPECT_EQ(rows("batch_files"), 0);
  EXPECT_EQ(rows("batch_pieces"), 0);
}

TEST_F(postgres_files, a_sweep_removes_many_files_and_batches) {
  database.transact([](postgres_transaction& in) {
    in.run_all(
        "INSERT INTO sluice.contents (id, bytes, stored_at) "
        "SELECT 'file-' || n, 1, now() - interval '2 hours' FROM generate_series(1, 250) n;"
        "INSERT INTO sluice.pieces (id, number, bytes) "
        "SELECT 'file-' || n, 0, 'x' FROM generate_series(1, 250) n;"
        "INSERT INTO sluice.batch_files (batch, file, name) "
        "SELECT 'batch_' || n, f, 'out' || f FROM generate_series(1, 250) n, "
        "generate_series(1, 3) f");
  });
  files->sweep(always);
  for (const char* table : {"contents", "pieces", "batch_files"})
    EXPECT_EQ(rows(table), 0) << table;
}

TEST_F(postgres_files, a_file_that_cannot_be_removed_now_does_not_keep_the_others) {
  for (const char* id : {"file-1", "file-2", "file-3"}) add(id, "x");
  database.transact([](postgres_transaction& in) {
    in.run("UPDATE sluice.contents SET stored_at = now() - interval '2 hours'");
  });
  postgres_options options;
  options.url = test::postgres_server::shared().url() + "?options=-c%20lock_timeout%3D50";
  options.idle_timeout = std::chrono::minutes{10};
  postgres_connection other(options);
  other.begin();
  other.run("SELECT 1 FROM sluice.contents WHERE id = 'file-2' FOR UPDATE");
  postgres_database hasty(options);
  EXPECT_THROW(open_postgres_files(hasty)->sweep(always), store_error);
  EXPECT_EQ(fetch("file-1"), std::nullopt);
  EXPECT_EQ(fetch("file-2"), "x");
  EXPECT_EQ(fetch("file-3"), std::nullopt);
  other.roll_back();
  files->sweep(always);
  EXPECT_EQ(fetch("file-2"), std::nullopt);
}

TEST_F(postgres_files, a_sweep_ends_when_it_may_not_go_on) {
  for (const char* id : {"file-1", "file-2", "file-3"}) add(id, "x");
  database.transact([](postgres_transaction& in) {
    in.run("UPDATE sluice.contents SET stored_at = now() - interval '2 hours'");
  });
  int left = 3;
  files->sweep([&] { return left-- > 0; });
  EXPECT_EQ(rows("contents"), 1);
  files->sweep(always);
  EXPECT_EQ(rows("contents"), 0);
}

TEST_F(postgres_files, a_sweep_ends_when_the_database_is_slow) {
  for (const char* id : {"file-1", "file-2", "file-3"}) add(id, "x");
  database.transact([](postgres_transaction& in) {
    in.run("UPDATE sluice.contents SET stored_at = now() - interval '2 hours'");
  });
  postgres_options options;
  options.url = test::postgres_server::shared().url();
  options.idle_timeout = std::chrono::minutes{10};
  postgres_connection other(options);
  other.begin();
  other.run("SELECT 1 FROM sluice.contents FOR UPDATE");
  options.statement_timeout = std::chrono::milliseconds{500};
  postgres_database hasty(options);
  int asked = 0;
  EXPECT_THROW(open_postgres_files(hasty)->sweep([&] { return ++asked > 0; }), postgres_error);
  EXPECT_EQ(asked, 2) << "before the search, and before the first file";
  other.roll_back();
}

TEST_F(postgres_files, bytes_that_come_at_once_are_stored_in_pieces) {
  constexpr std::size_t piece = std::size_t{1} << 20U;
  std::string large;
  for (std::uint64_t n = 0; large.size() <= 3 * piece; ++n) large += std::to_string(n * 7919);
  large.resize(3 * piece + 1);
  const claim held = claim_batch("batch_1");
  const std::vector changes{create(1, "out"), append(1, 0, large)};
  for (int n = 0; n < 2; ++n) {
    ASSERT_TRUE(files->write(held, changes));
    EXPECT_EQ(rows("batch_pieces"), 4);
    EXPECT_TRUE(of_batch("batch_1").at("out") == large);
  }
  const std::size_t rest = piece + piece / 2;
  ASSERT_TRUE(files->write(
      held, std::vector{file_change{kind::truncate, 1, rest, {}, {}}, append(1, rest, "X")}));
  EXPECT_TRUE(of_batch("batch_1").at("out") == large.substr(0, rest) + "X");
}

TEST_F(postgres_files, a_batch_writes_its_files_as_on_a_disk) {
  const claim held = claim_batch("batch_1");
  ASSERT_TRUE(
      files->write(held, std::vector{create(1, "out"), append(1, 0, "one\n"), append(1, 4, "two\n"),
                                     create(2, "state"), append(2, 0, "s")}));
  EXPECT_EQ(rows("batch_pieces"), 2);
  ASSERT_TRUE(files->write(held, std::vector{append(1, 8, "three\n"), append(2, 1, "t")}));
  EXPECT_THAT(of_batch("batch_1"),
              ElementsAre(Pair("out", "one\ntwo\nthree\n"), Pair("state", "st")));
  // Truncate in the middle of a stored piece, and append after it.
  ASSERT_TRUE(files->write(
      held, std::vector{file_change{kind::truncate, 1, 6, {}, {}}, append(1, 6, "X")}));
  EXPECT_THAT(of_batch("batch_1"), ElementsAre(Pair("out", "one\ntwX"), Pair("state", "st")));
  ASSERT_TRUE(files->write(
      held, std::vector{create(3, "new"), append(3, 0, "n"),
                        file_change{kind::rename, 3, 0, {}, "state"}, append(3, 1, "m")}));
  EXPECT_THAT(of_batch("batch_1"), ElementsAre(Pair("out", "one\ntwX"), Pair("state", "nm")));
  ASSERT_TRUE(files->write(held, std::vector{file_change{kind::remove, 1, 0, {}, {}}}));
  EXPECT_THAT(of_batch("batch_1"), ElementsAre(Pair("state", "nm")));
}

TEST_F(postgres_files, changes_that_were_stored_may_come_again) {
  const claim held = claim_batch("batch_1");
  const std::vector changes{create(1, "out"),
                            append(1, 0, "abc"),
                            file_change{kind::truncate, 1, 1, {}, {}},
                            append(1, 1, "BC"),
                            create(2, "new"),
                            append(2, 0, "n"),
                            file_change{kind::rename, 2, 0, {}, "out"}};
  ASSERT_TRUE(files->write(held, changes));
  ASSERT_TRUE(files->write(held, changes));
  EXPECT_THAT(of_batch("batch_1"), ElementsAre(Pair("out", "n")));
}

TEST_F(postgres_files, a_claim_that_is_lost_writes_nothing) {
  const claim lost = claim_batch("batch_1");
  ASSERT_TRUE(files->write(lost, std::vector{create(1, "out"), append(1, 0, "a")}));
  const claim held = store->claim_batch("other", {}, 9'000, 60).value();
  EXPECT_FALSE(files->write(lost, std::vector{append(1, 1, "b")}));
  ASSERT_TRUE(files->write(held, std::vector{append(1, 1, "c")}));
  EXPECT_THAT(of_batch("batch_1"), ElementsAre(Pair("out", "ac")));
  // The server that lost its claim cannot remove what the new holder writes, either.
  files->drop("batch_1");
  EXPECT_THAT(of_batch("batch_1"), ElementsAre(Pair("out", "ac")));
  ASSERT_TRUE(store->refuse_lines(held, {}, 110));
  files->drop("batch_1");
  EXPECT_EQ(rows("batch_pieces"), 0);
}

// With many batches, the sum comes from the indexes alone.
TEST_F(postgres_files, what_a_key_has_spent_is_not_read_from_each_of_its_batches) {
  database.transact([](postgres_transaction& in) {
    in.run_all(
        "INSERT INTO sluice.batches (id, owner, endpoint, input_file_id, completion_window, "
        "status, "
        "errors, created_at, expires_at, priority, estimate, requests_total, requests_completed, "
        "requests_failed, input_tokens, cached_tokens, output_tokens, reasoning_tokens, "
        "total_tokens, cost, unpriced, spent) SELECT 'batch_' || n, 'key-' || n % 2, '/v1', 'in', "
        "'24h', CASE WHEN n < 5 THEN 'in_progress' ELSE 'completed' END, '[]', n, n, 0, '', 1, 1, "
        "0, 1, 0, 1, 0, 2, '1', 0, '0.000000000000000001' FROM generate_series(1, 3000) n");
  });
  database.read("VACUUM (ANALYZE) sluice.batches");
  std::string plan;
  database.transact([&](postgres_transaction& in) {
    const auto lines = in.run("EXPLAIN " + spent_by_others_sql(),
                              postgres_parameters().put("key-1").put("batch_7"));
    for (std::size_t n = 0; n < lines.size(); ++n) plan += std::string(lines.text(n, 0)) + "\n";
  });
  EXPECT_THAT(plan, AllOf(HasSubstr("Index Only Scan using batches_ended_spent"),
                          Not(HasSubstr("batches_of_owner")), Not(HasSubstr("Seq Scan"))));
  EXPECT_EQ(store->spent_by_others("key-1", "batch_7").to_string(), "0.000000000000001499");
}

// A step takes longer than other statements may take.
TEST_F(postgres_files, an_upgrade_of_the_tables_may_take_long) {
  postgres_options options;
  options.url = test::postgres_server::shared().url();
  options.statement_timeout = std::chrono::milliseconds{500};
  postgres_database hasty(options);
  constexpr std::array<std::string_view, 1> steps{"SELECT pg_sleep(1)"};
  migrate(hasty, {"slow", steps});
  EXPECT_THROW(hasty.transact([](postgres_transaction& in) { in.run("SELECT pg_sleep(60)"); }),
               postgres_error)
      << "other transactions keep their limit";
}

TEST_F(postgres_files, the_batches_of_an_older_version_count) {
  empty_postgres();
  const postgres_part all = postgres_batches();
  migrate(database, {all.name, all.steps.first(3)});
  database.transact([](postgres_transaction& in) {
    for (const char* status : {"in_progress", "completed", "failed"}) {
      in.run(
          "INSERT INTO sluice.batches (id, owner, endpoint, input_file_id, completion_window, "
          "status, errors, created_at, expires_at, priority, estimate, requests_total, "
          "requests_completed, requests_failed, input_tokens, cached_tokens, output_tokens, "
          "reasoning_tokens, total_tokens, cost, unpriced, spent) VALUES ($1, 'alice', '/v1', "
          "'in', '24h', $1, '[]', 1, 2, 0, '', 1, 1, 0, 1, 0, 1, 0, 2, '1', 0, '1.25')",
          postgres_parameters().put(status));
    }
  });
  store = open_postgres_store(database, lease_clock::caller);
  EXPECT_EQ(store->spent_by_others("alice", "").to_string(), "3.75");
  EXPECT_EQ(store->spent_by_others("alice", "completed").to_string(), "2.5");
}

TEST_F(postgres_files, one_server_at_a_time_runs_batches_of_an_owner_with_a_budget) {
  const claim first = claim_batch("batch_1");
  const claim second = claim_batch("batch_2");
  EXPECT_TRUE(store->claim_owner(first, 100));
  EXPECT_FALSE(store->claim_owner(second, 100));
  EXPECT_TRUE(store->claim_owner(first, 100));
  // The server of the first claim has died.
  EXPECT_TRUE(store->claim_owner(second, 161));
  store->release(second);
  EXPECT_FALSE(store->claim_owner(second, 161));
}

}  // namespace
}  // namespace sluice::store
