#include "store/sqlite_store.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "store/records.hpp"
#include "store/sqlite.hpp"
#include "store/sqlite_schema.hpp"
#include "support/temp_dir.hpp"

namespace sluice::store {
namespace {

using test::temp_dir;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

unsigned mode_of(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 07777U : 0;
}

// The error of open_sqlite_store(); empty if the store opens the file.
std::string fault_of(const std::string& path) {
  try {
    open_sqlite_store(path)->open_batches();
    return {};
  } catch (const store_error& error) {
    EXPECT_FALSE(error.full());
    return error.what();
  }
}

std::int64_t number(const std::string& path, std::string_view sql) {
  const sqlite_database database(path);
  sqlite_statement row(database, sql);
  return row.step() ? row.get_number() : -1;
}

auto is_one_sentence_about(const std::string& path) {
  return AllOf(testing::StartsWith(path), Not(HasSubstr("\n")));
}

TEST(sqlite_store, keeps_what_it_holds_when_it_is_closed) {
  const temp_dir dir;
  const std::string path = dir / "store.db";
  {
    const auto store = open_sqlite_store(path);
    store->add_file(input_file("alice", "file-1"));
    ASSERT_TRUE(store->create_batch(whole_batch("alice", "batch_1", "file-1")));
    ASSERT_TRUE(store->claim_batch("server", {}, 100, 60));
  }
  const auto store = open_sqlite_store(path);
  EXPECT_EQ(store->find_file("alice", "file-1"), input_file("alice", "file-1"));
  EXPECT_EQ(store->find_batch("alice", "batch_1"), whole_batch("alice", "batch_1", "file-1"));
  EXPECT_EQ(store->claim_batch("other", {}, 100, 60), std::nullopt);
}

TEST(sqlite_store, only_its_owner_can_read_its_files) {
  const temp_dir dir;
  const std::string path = dir / "store.db";
  const auto store = open_sqlite_store(path);
  store->add_file(input_file("alice", "file-1"));
  for (const char* ending : {"", "-wal", "-shm", ".lock"}) {
    EXPECT_EQ(mode_of(path + ending), 0600U) << ending;
  }
}

TEST(sqlite_store, waits_for_the_disk_at_each_commit) {
  const temp_dir dir;
  const std::string path = dir / "store.db";
  open_sqlite_store(path);
  const sqlite_database database(path);
  sqlite_statement mode(database, "PRAGMA journal_mode");
  ASSERT_TRUE(mode.step());
  EXPECT_EQ(mode.get_text(), "wal");
}

TEST(sqlite_store, is_used_by_one_process_at_a_time) {
  const temp_dir dir;
  const std::string path = dir / "store.db";
  {
    const auto store = open_sqlite_store(path);
    EXPECT_THAT(fault_of(path), AllOf(is_one_sentence_about(path),
                                      HasSubstr("process " + std::to_string(::getpid())),
                                      HasSubstr("store_tests")));
    std::filesystem::create_symlink(path, dir / "link.db");
    EXPECT_THAT(fault_of(dir / "link.db"), HasSubstr("uses it"));
    store->add_file(input_file("alice", "file-1"));
  }
  EXPECT_EQ(fault_of(path), "");
}

TEST(sqlite_store, a_file_that_is_no_database_is_refused) {
  const temp_dir dir;
  const std::string text(5000, 'x');
  const std::string path = dir.write("store.db", text);
  EXPECT_THAT(fault_of(path), AllOf(is_one_sentence_about(path), HasSubstr("damaged")));
  EXPECT_EQ(dir.read("store.db"), text);
}

TEST(sqlite_store, a_damaged_file_is_reported) {
  const temp_dir dir;
  const std::string path = dir / "store.db";
  {
    const auto store = open_sqlite_store(path);
    store->add_file(input_file("alice", "file-1"));
    ASSERT_TRUE(store->create_batch(whole_batch("alice", "batch_1", "file-1")));
  }
  std::string bytes = dir.read("store.db");
  ASSERT_GT(bytes.size(), 8192U);
  for (std::size_t at = 4096; at < bytes.size(); ++at) bytes[at] = '\x5a';
  dir.write("store.db", bytes);
  EXPECT_THAT(fault_of(path), AllOf(is_one_sentence_about(path), HasSubstr("damaged")));
}

TEST(sqlite_store, a_value_that_it_never_writes_is_reported_as_damage) {
  for (const char* change :
       {"status = 'paused'", "spent = 'much'", "cost = ''", "metadata = '['", "metadata = '[1]'",
        "errors = '{}'", "errors = '[{}]'", "ending = 'x'"}) {
    const temp_dir dir;
    const std::string path = dir / "store.db";
    {
      const auto store = open_sqlite_store(path);
      store->add_file(input_file("alice", "file-1"));
      ASSERT_TRUE(store->create_batch(whole_batch("alice", "batch_1", "file-1")));
    }
    sqlite_database(path).run(std::string("UPDATE batches SET ") + change);
    const auto store = open_sqlite_store(path);
    try {
      store->find_batch("alice", "batch_1");
      FAIL() << change;
    } catch (const store_error& error) {
      EXPECT_THAT(error.what(), AllOf(is_one_sentence_about(path), HasSubstr("damaged")));
    }
  }
}

TEST(sqlite_store, a_database_of_another_program_is_left_alone) {
  const temp_dir dir;
  for (const char* made :
       {"CREATE TABLE notes (text TEXT)", "CREATE TABLE notes (text TEXT); PRAGMA user_version = 1",
        "PRAGMA user_version = 70; PRAGMA application_id = 5"}) {
    const std::string path = dir / "other.db";
    std::filesystem::remove(path);
    sqlite_database(path).run(made);
    const std::string before = dir.read("other.db");
    EXPECT_THAT(fault_of(path), AllOf(is_one_sentence_about(path), HasSubstr("another program")));
    EXPECT_EQ(dir.read("other.db"), before);
  }
}

TEST(sqlite_store, a_database_of_a_newer_version_is_left_alone) {
  const temp_dir dir;
  const std::string path = dir / "store.db";
  open_sqlite_store(path);
  sqlite_database(path).run("PRAGMA user_version = 4711");
  const std::string before = dir.read("store.db");
  EXPECT_THAT(fault_of(path),
              AllOf(is_one_sentence_about(path), HasSubstr("newer version"), HasSubstr("4711")));
  EXPECT_EQ(dir.read("store.db"), before);
}

// Version 1 had no priorities, estimates and retries.
void make_version_1(const std::string& path) {
  sqlite_database database(path);
  database.run(std::string(sqlite_migrations().front()));
  database.run(R"(
    PRAGMA application_id = 1936483173;
    PRAGMA user_version = 1;
    INSERT INTO files VALUES (1, 'file-1', 'alice', 'in.jsonl', 'batch', 7, 100, NULL);
    INSERT INTO batches VALUES (
      4, 'batch_1', 'alice', '/v1/embeddings', 'file-1', '24h', 'in_progress', 'gpt-x', '[]',
      NULL, NULL, 100, 200, 101, NULL, NULL, NULL, NULL, NULL, NULL,
      9, 1, 2, 3, 4, 5, 6, 7, '0.5', 8, '0.75', '{"a":"b"}', 60, NULL, NULL, NULL,
      'server', 3, 130);
    INSERT INTO batches VALUES (
      5, 'batch_2', 'bob', '/v1/embeddings', 'file-2', '24h', 'cancelling', NULL, '[]',
      NULL, NULL, 100, 200, 101, NULL, NULL, NULL, NULL, 102, NULL,
      9, 1, 2, 3, 4, 5, 6, 7, '0', 8, '0', NULL, NULL, 'cancelled', 'file-o', 'file-e',
      NULL, 0, 0);
  )");
}

TEST(sqlite_store, opens_a_file_of_an_older_version) {
  const temp_dir dir;
  const std::string path = dir / "store.db";
  make_version_1(path);
  for (int opened = 0; opened < 2; ++opened) {
    const auto store = open_sqlite_store(path);
    EXPECT_EQ(store->find_file("alice", "file-1"), input_file("alice", "file-1"));
    const auto first = store->find_batch("alice", "batch_1");
    ASSERT_TRUE(first);
    EXPECT_EQ(first->status, batch_status::in_progress);
    EXPECT_EQ(first->progress.usage.total_tokens, 7);
    EXPECT_EQ(first->progress.spent.to_string(), "0.75");
    EXPECT_EQ(first->metadata.at("a"), "b");
    EXPECT_EQ(first->priority, 0);
    EXPECT_EQ(first->estimate, "");
    EXPECT_EQ(first->retry_of, std::nullopt);
    const auto second = store->find_batch("bob", "batch_2");
    ASSERT_TRUE(second && second->end);
    EXPECT_EQ(second->end->output_file_id, "file-o");
    EXPECT_TRUE(store->claimed({"batch_1", 3}));
    EXPECT_EQ(store->open_batches().size(), 2);
    EXPECT_EQ(store->add_call_spend("alice", usd::from_units(opened)), usd::from_units(opened));
    EXPECT_EQ(store->next_announcement(500, 500), std::nullopt);
    EXPECT_TRUE(store->announce({"batch_1", 3}, 100));
  }
  const auto store = open_sqlite_store(path);
  batch_record urgent = new_batch("alice", "batch_3", "file-1");
  urgent.priority = 1;
  ASSERT_TRUE(store->create_batch(urgent));
  EXPECT_EQ(store->claim_batch("other", {}, 500, 60).value().batch, "batch_3");
  EXPECT_EQ(store->claim_batch("other", {}, 500, 60), (claim{"batch_1", 4}));
}

TEST(sqlite_store, an_older_version_becomes_what_a_new_one_is) {
  const temp_dir dir;
  make_version_1(dir / "old.db");
  open_sqlite_store(dir / "old.db");
  open_sqlite_store(dir / "new.db");
  for (const char* sql : {"PRAGMA user_version", "SELECT count(*) FROM sqlite_schema",
                          "SELECT count(*) FROM pragma_table_info('batches')"}) {
    EXPECT_EQ(number(dir / "old.db", sql), number(dir / "new.db", sql)) << sql;
  }
  EXPECT_EQ(number(dir / "new.db", "PRAGMA user_version"), std::ssize(sqlite_migrations()));
}

TEST(sqlite_store, a_folder_that_is_missing_is_named) {
  const temp_dir dir;
  EXPECT_THAT(fault_of(dir / "none/store.db"),
              AllOf(HasSubstr("none/store.db"), HasSubstr("No such file")));
}

}  // namespace
}  // namespace sluice::store
