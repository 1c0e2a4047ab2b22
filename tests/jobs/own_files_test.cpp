#include "jobs/own_files.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "files/file_system.hpp"
#include "support/temp_dir.hpp"

namespace sluice {
namespace {

const std::string id = R"({"id":"batch_req_0123456789abcdef0123456789abcdef")";

TEST(own_files, results_begin_as_a_result_line_does) {
  const std::string whole =
      id + R"(,"custom_id":"a","response":null,"error":{"code":"x","message":"y"},)" +
      R"("sluice":{"line":1,"attempts":1,"retryable":true}})";
  const std::string spaced = R"({"id": "batch_req_1", "custom_id": "a", "sluice": {"line": 1}})";
  const struct {
    const char* what;
    std::string begin;
    bool ours;
    bool may_be_torn;
  } rows[] = {
      {"a whole line", whole + "\n", true, true},
      {"more of them", whole + "\n" + whole + "\n", true, true},
      {"without its newline", whole, true, true},
      {"torn behind its id", id + R"(,"custom_id":"a","resp)", true, true},
      {"torn in the id", id.substr(0, 30), false, true},
      {"torn in the first word", id.substr(0, 3), false, true},
      {"torn, and NUL behind it", id.substr(0, 30) + std::string(9, '\0'), false, true},
      {"nothing but NUL", std::string(40, '\0'), false, true},
      {"damaged in the middle, and whole lines behind it", id + ",\"custom_id\":\"a\",!!\n" + whole,
       true, true},
      {"written anew with blanks", spaced + "\n", true, true},
      {"of the Batch API itself", id + ",\"custom_id\":\"a\",\"response\":null,\"error\":null}\n",
       false, false},
      {"the same with blanks, torn", R"({"id": "batch_req_0123", "custom_id": "a", "resp)", false,
       false},
      {"an id that is none", "{\"id\":\"batch_req_xyz\",\"custom_id\":\"", false, false},
      {"a job", "{\"custom_id\":\"a\",\"body\":{}}\n", false, false},
      {"another document", "{\"a\":1}", false, false},
      {"a key", "-----BEGIN PRIVATE KEY-----\n", false, false},
      {"a newline", "\n", false, false},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(begins_as_results(row.begin), row.ours) << row.what;
    EXPECT_EQ(may_be_torn_results(row.begin), row.may_be_torn) << row.what;
    EXPECT_EQ(begins_as_unplaced_results(row.begin), row.may_be_torn) << row.what;
  }
}

TEST(own_files, totals_and_state_have_marks_of_their_own) {
  const std::string totals = "{\n  \"job\": \"x.jsonl\",\n  \"status\": \"running\",\n";
  EXPECT_TRUE(begins_as_totals(totals));
  EXPECT_TRUE(begins_as_totals(R"({"job":"x","status":"completed","maybe_billed_attempts":0})"));
  EXPECT_FALSE(begins_as_totals(R"({"job":"x","status":"completed"})")) << "so may others";
  EXPECT_FALSE(begins_as_totals("{\n  \"job\": \"x"));
  EXPECT_FALSE(begins_as_totals("[]"));
  EXPECT_TRUE(begins_as_state(R"({"sluice_state":1,"attempts)"));
  EXPECT_FALSE(begins_as_state(R"({"sluice_st)"));
  EXPECT_FALSE(begins_as_state(R"({"attempts":1,"identity":"x"})")) << "so may others";
  for (const std::string begin : {"", "{", "{\n  \"job\": \"a long na"}) {
    EXPECT_TRUE(begins_as_unplaced_totals(begin)) << begin;
  }
  EXPECT_TRUE(begins_as_unplaced_state("{\"sluice_"));
  EXPECT_FALSE(begins_as_unplaced_totals("{\"mine\":1}"));
  EXPECT_FALSE(begins_as_unplaced_state("mine"));
}

TEST(own_files, a_link_is_followed_only_where_nobody_else_can_have_planted_it) {
  const test::temp_dir dir;
  const auto disk = system_files();
  dir.write("theirs", "");
  std::filesystem::create_symlink(dir / "theirs", dir / "x");
  for (const auto& [mode, followed] :
       {std::pair{0755, true}, {0775, true}, {0777, false}, {01777, false}}) {
    ASSERT_EQ(::chmod(dir.path().c_str(), static_cast<mode_t>(mode)), 0);
    EXPECT_EQ(disk->resolved(dir / "x"), followed ? dir / "theirs" : dir / "x") << mode;
    std::error_code error;
    EXPECT_EQ(
        disk->open(disk->resolved(dir / "x"), file_system::open_as::existing, error) != nullptr,
        followed);
    EXPECT_EQ(disk->open(dir / "x", file_system::open_as::created, error), nullptr);
  }
}

TEST(own_files, a_file_that_others_may_have_put_there_is_not_opened) {
  const test::temp_dir dir;
  const auto disk = system_files();
  const auto opens = [&](const char* name) {
    std::error_code error;
    const auto opened = disk->open(dir / name, file_system::open_as::existing, error);
    EXPECT_EQ(opened == nullptr, static_cast<bool>(error));
    return opened != nullptr;
  };
  dir.write("own", "");
  dir.write("twice", "");
  std::filesystem::create_hard_link(dir / "twice", dir / "again");
  dir.write("theirs", "");
  const bool is_root = ::chown((dir / "theirs").c_str(), 4711, 4711) == 0;
  for (const bool shared : {false, true}) {
    ASSERT_EQ(::chmod(dir.path().c_str(), shared ? 0777 : 0755), 0);
    EXPECT_TRUE(opens("own"));
    EXPECT_EQ(opens("again"), !shared);
    EXPECT_EQ(opens("theirs"), !shared || !is_root);
  }
}

TEST(own_files, what_is_to_take_the_place_of_a_file_takes_no_other) {
  const test::temp_dir dir;
  const auto disk = system_files();
  for (const char* name : {"x.new", "x.sluice-new"}) dir.write(name, "mine\n");
  replace_file(*disk, dir / "x", "{\"sluice_state\":1,}", begins_as_unplaced_state);
  EXPECT_EQ(dir.read("x"), "{\"sluice_state\":1,}");
  for (const char* name : {"x.new", "x.sluice-new"}) EXPECT_EQ(dir.read(name), "mine\n");
  dir.write("x.sluice-new", "{\"sluice_state\":1,\"half");  // left over from a crash
  replace_file(*disk, dir / "x", "{\"sluice_state\":1, }", begins_as_unplaced_state);
  EXPECT_FALSE(dir.has("x.sluice-new"));
  EXPECT_EQ(dir.entries(), 2U);
}

}  // namespace
}  // namespace sluice
