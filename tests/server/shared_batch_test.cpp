#include "server/shared_batch.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <future>
#include <mutex>
#include <string>

#include "server/memory_files.hpp"
#include "support/temp_dir.hpp"

namespace sluice::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

struct shared_batches : testing::Test {
  std::unique_ptr<shared_batch> open(std::uint64_t epoch = 1) {
    return std::make_unique<shared_batch>(store, store::claim{"batch_1", epoch}, dir / "batch",
                                          "input.jsonl", options);
  }
  static std::unique_ptr<file> make(shared_batch& files, const std::string& path) {
    std::error_code error;
    auto made = files.open(path, file_system::open_as::created, error);
    EXPECT_FALSE(error);
    return made;
  }
  static void append(file& to, std::string_view bytes) {
    std::error_code error;
    EXPECT_EQ(to.append(bytes, error), bytes.size());
    EXPECT_FALSE(error);
  }

  test::temp_dir dir;
  memory_files store;
  shared_batch::options options{.patience = std::chrono::milliseconds{50},
                                .pause = std::chrono::milliseconds{1}};
};

TEST_F(shared_batches, what_is_synced_is_in_the_store) {
  const auto files = open();
  const auto out = make(*files, dir / "batch/out");
  append(*out, "one\n");
  append(*out, "two\n");
  EXPECT_FALSE(out->sync());
  EXPECT_THAT(store.content(), ElementsAre(Pair("out", "one\ntwo\n")));
  EXPECT_FALSE(out->truncate(5));
  append(*out, "X");
  const auto fresh = make(*files, dir / "batch/new");
  append(*fresh, "n");
  EXPECT_FALSE(files->rename(dir / "batch/new", dir / "batch/state"));
  append(*fresh, "m");
  EXPECT_FALSE(files->sync_folder_of(dir / "batch/state"));
  EXPECT_THAT(store.content(), ElementsAre(Pair("out", "one\ntX"), Pair("state", "nm")));
  EXPECT_FALSE(files->remove(dir / "batch/out"));
  EXPECT_FALSE(files->sync_folder_of(dir / "batch/out"));
  EXPECT_THAT(store.content(), ElementsAre(Pair("state", "nm")));
  EXPECT_TRUE(files->is_at(*fresh, dir / "batch/state"));
}

TEST_F(shared_batches, what_nobody_waits_for_is_stored_soon_and_at_the_end) {
  {
    const auto files = open();
    append(*make(*files, dir / "batch/out"), "one");
  }
  EXPECT_THAT(store.content(), ElementsAre(Pair("out", "one")));
}

TEST_F(shared_batches, another_server_goes_on_with_what_is_stored) {
  {
    const auto files = open();
    append(*make(*files, dir / "batch/out"), "one\n");
  }
  const test::temp_dir other;
  std::filesystem::create_directories(other / "batch");
  other.write("batch/input.jsonl", "in");
  other.write("batch/stale", "of an earlier claim");
  store.epoch = 2;
  {
    shared_batch files(store, {"batch_1", 2}, other / "batch", "input.jsonl", options);
    EXPECT_FALSE(other.has("batch/stale"));
    EXPECT_EQ(other.read("batch/input.jsonl"), "in");
    std::error_code error;
    const auto out = files.open(other / "batch/out", file_system::open_as::existing, error);
    ASSERT_TRUE(out);
    append(*out, "two\n");
    append(*make(files, other / "batch/more"), "m");
  }
  EXPECT_EQ(other.read("batch/out"), "one\ntwo\n");
  EXPECT_THAT(store.content(), ElementsAre(Pair("more", "m"), Pair("out", "one\ntwo\n")));
}

TEST_F(shared_batches, a_lost_claim_fails_every_write) {
  const auto files = open();
  const auto out = make(*files, dir / "batch/out");
  append(*out, "one\n");
  EXPECT_FALSE(out->sync());
  store.epoch = 2;
  append(*out, "two\n");
  EXPECT_TRUE(out->sync());
  EXPECT_TRUE(files->is_lost());
  std::error_code error;
  EXPECT_EQ(out->append("three\n", error), 0);
  EXPECT_TRUE(error);
  EXPECT_TRUE(out->truncate(0));
  EXPECT_TRUE(files->rename(dir / "batch/out", dir / "batch/x"));
  EXPECT_TRUE(files->remove(dir / "batch/out"));
  EXPECT_THAT(store.content(), ElementsAre(Pair("out", "one\n")));
}

TEST_F(shared_batches, a_store_that_was_away_gets_everything_once) {
  const auto files = open();
  const auto out = make(*files, dir / "batch/out");
  EXPECT_FALSE(out->sync());
  {
    const std::lock_guard lock(store.guard);
    store.is_away = true;
  }
  append(*out, "one\n");
  EXPECT_TRUE(out->sync());
  EXPECT_TRUE(out->keeps_unsynced());
  EXPECT_FALSE(files->is_lost());
  append(*out, "two\n");
  {
    const std::lock_guard lock(store.guard);
    store.is_away = false;
  }
  EXPECT_FALSE(out->sync());
  EXPECT_THAT(store.content(), ElementsAre(Pair("out", "one\ntwo\n")));
}

TEST_F(shared_batches, a_full_store_is_a_full_disk) {
  const auto files = open();
  const auto out = make(*files, dir / "batch/out");
  EXPECT_FALSE(out->sync());
  {
    const std::lock_guard lock(store.guard);
    store.is_away = store.is_full = true;
  }
  append(*out, "one\n");
  EXPECT_EQ(out->sync(), std::errc::no_space_on_device);
}

TEST_F(shared_batches, the_input_is_not_stored) {
  std::filesystem::create_directories(dir / "batch");
  dir.write("batch/input.jsonl", "in");
  {
    const auto files = open();
    std::error_code error;
    EXPECT_TRUE(files->open(dir / "batch/input.jsonl", file_system::open_as::read_only, error));
  }
  EXPECT_THAT(store.content(), IsEmpty());
}

}  // namespace
}  // namespace sluice::server
