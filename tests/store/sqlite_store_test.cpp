#include "store/sqlite_store.hpp"

#include <gmock/gmock.h>

#include "support/temp_dir.hpp"

namespace sluice::store {
namespace {

using test::temp_dir;

TEST(sqlite_store, keeps_a_file) {
  const temp_dir dir;
  const std::string path = dir / "store.db";
  file_record file{"file-1", "alice", "in.jsonl", "batch", 7, 100, 200};
  open_sqlite_store(path)->add_file(file);
  const auto found = open_sqlite_store(path)->find_file("alice", "file-1");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->filename, "in.jsonl");
}

}  // namespace
}  // namespace sluice::store
