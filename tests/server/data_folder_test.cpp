#include "server/data_folder.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "files/file_system.hpp"
#include "support/memory_store.hpp"
#include "support/temp_dir.hpp"

namespace sluice::server {
namespace {

namespace fs = std::filesystem;

constexpr const char* file_id = "file-AAAAAAAAAAAAAAAAAAAAAAAA";
constexpr const char* batch_id = "batch_BBBBBBBBBBBBBBBBBBBBBBBB";

struct data_folders : testing::Test {
  void publish(const std::string& id, const std::string& text) {
    const auto draft = folder.new_draft();
    draft->append(text);
    draft->publish(id);
  }
  static std::string content(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  test::temp_dir place;
  std::unique_ptr<file_system> disk = system_files();
  data_folder folder{place.path(), *disk};
  test::memory_store records;
};

TEST_F(data_folders, AFileHasItsNameOnlyOnceItIsWhole) {
  auto draft = folder.new_draft();
  draft->append("half");
  EXPECT_FALSE(fs::exists(folder.file(file_id)));
  draft->append(" and half");
  draft->publish(file_id);
  draft.reset();
  EXPECT_EQ(content(folder.file(file_id)), "half and half");
  EXPECT_TRUE(fs::is_empty(place / "uploads"));
}

TEST_F(data_folders, ADraftThatIsGivenUpLeavesNothing) {
  folder.new_draft()->append("text");
  EXPECT_TRUE(fs::is_empty(place / "uploads"));
  EXPECT_TRUE(fs::is_empty(place / "files"));
}

TEST_F(data_folders, ABatchKeepsItsInputWhenTheFileIsRemoved) {
  publish(file_id, "lines");
  EXPECT_TRUE(folder.take_input(file_id, batch_id));
  folder.remove_file(file_id);
  EXPECT_EQ(content(folder.batch_input(batch_id)), "lines");
  EXPECT_FALSE(folder.take_input("file-CCCCCCCCCCCCCCCCCCCCCCCC", batch_id));
}

TEST_F(data_folders, RemovingTwiceIsNoError) {
  publish(file_id, "text");
  folder.remove_file(file_id);
  folder.remove_file(file_id);
  folder.remove_batch(batch_id);
  EXPECT_TRUE(fs::is_empty(place / "files"));
}

TEST_F(data_folders, ASweepRemovesOnlyWhatHasNoRecord) {
  publish(file_id, "kept");
  publish("file-CCCCCCCCCCCCCCCCCCCCCCCC", "left by a crash");
  store::file_record kept;
  kept.id = file_id;
  records.add_file(kept);
  folder.take_input(file_id, batch_id);
  folder.take_input(file_id, "batch_DDDDDDDDDDDDDDDDDDDDDDDD");
  store::batch_record open;
  open.id = batch_id;
  open.input_file_id = file_id;
  ASSERT_TRUE(records.create_batch(open));
  std::ofstream(place / "uploads/draft-x") << "half";
  std::ofstream(place / "files/notes.txt") << "not ours";
  folder.sweep(records, {""});
  EXPECT_TRUE(fs::exists(folder.file(file_id)));
  EXPECT_FALSE(fs::exists(folder.file("file-CCCCCCCCCCCCCCCCCCCCCCCC")));
  EXPECT_TRUE(fs::exists(folder.batch(batch_id)));
  EXPECT_FALSE(fs::exists(folder.batch("batch_DDDDDDDDDDDDDDDDDDDDDDDD")));
  EXPECT_TRUE(fs::is_empty(place / "uploads"));
  EXPECT_TRUE(fs::exists(place / "files/notes.txt"))
      << "what is not provably ours is never removed";
}

// The store has refused a record because of its last sync, and has it after a crash all the same.
TEST_F(data_folders, ASweepRemovesTheRecordOfAFileThatWasEmptied) {
  const std::string empty_id = "file-EEEEEEEEEEEEEEEEEEEEEEEE";
  publish(file_id, "");
  publish(empty_id, "");
  store::file_record lost;
  lost.id = file_id;
  lost.owner = "alice";
  lost.bytes = 4;
  records.add_file(lost);
  store::file_record empty;
  empty.id = empty_id;
  empty.owner = "alice";
  records.add_file(empty);
  folder.sweep(records, {"", "bob"});
  EXPECT_TRUE(records.has_file(file_id)) << "the file of an owner who may come back";
  folder.sweep(records, {"", "alice"});
  EXPECT_FALSE(records.has_file(file_id));
  EXPECT_FALSE(fs::exists(folder.file(file_id)));
  EXPECT_TRUE(records.has_file(empty_id)) << "an empty upload is a file, too";
  EXPECT_TRUE(fs::exists(folder.file(empty_id)));
}

TEST_F(data_folders, ASweepGivesABatchItsInputAgain) {
  publish(file_id, "lines");
  store::file_record input;
  input.id = file_id;
  records.add_file(input);
  store::batch_record open;
  open.id = batch_id;
  open.input_file_id = file_id;
  ASSERT_TRUE(records.create_batch(open));
  folder.sweep(records, {""});
  EXPECT_EQ(content(folder.batch_input(batch_id)), "lines");
}

TEST_F(data_folders, AFolderThatCannotBeMadeIsAnErrorThatNamesIt) {
  const std::string taken = place.write("taken", "a file");
  try {
    const data_folder other(taken, *disk);
    FAIL() << "accepted";
  } catch (const store::store_error& fault) {
    EXPECT_NE(std::string(fault.what()).find(taken), std::string::npos);
    EXPECT_FALSE(fault.full());
  }
}

}  // namespace
}  // namespace sluice::server
