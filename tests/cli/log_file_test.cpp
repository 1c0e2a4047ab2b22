#include "cli/log_file.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "cli/named_files.hpp"
#include "sluice/error.hpp"
#include "support/temp_dir.hpp"

namespace sluice::cli {
namespace {

using testing::HasSubstr;

const std::string entry = "2026-01-31T23:59:59.123+00:00 info so\n";

TEST(log_file, an_entry_is_known_by_how_it_begins) {
  for (const char* ours :
       {"2026-01-31T23:59:59.123+00:00 info so", "1999-12-31T00:00:00.000-11:30 warning ",
        "2026-01-31T23:59:59.123+08:00 debug {\"a\":1}"}) {
    EXPECT_TRUE(begins_as_log(ours)) << ours;
  }
  for (const char* foreign :
       {"", "2026-01-31", "2026-01-31T23:59:59.123+00:00", "2026-01-31T23:59:59.123+00:00 hello",
        "2026-01-31T23:59:59Z info so", "{\"custom_id\":\"a\"}", "sk-1234567890",
        " 2026-01-31T23:59:59.123+00:00 info so", "2026-01-31T23:59:59.123+00:00 information"}) {
    EXPECT_FALSE(begins_as_log(foreign)) << foreign;
  }
}

TEST(log_file, is_appended_to_where_it_is_new_empty_or_a_log) {
  const test::temp_dir dir;
  for (const auto& [name, before] : {std::pair{"new", ""}, {"empty", ""}, {"log", entry.c_str()}}) {
    if (name != std::string("new")) dir.write(name, before);
    log_file log = open_log(dir / name);
    EXPECT_EQ(log.append(entry), 0);
    EXPECT_EQ(dir.read(name), before + entry) << name;
  }
  struct stat info {};
  ASSERT_EQ(::stat((dir / "new").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
}

TEST(log_file, what_is_no_log_is_refused_untouched) {
  const test::temp_dir dir;
  for (const std::string& content :
       {std::string("{\"custom_id\":\"a\"}\n"), std::string("sk-1234567890\n"), std::string("torn"),
        std::string("\n"), std::string(64, '\0')}) {
    const std::string path = dir.write("theirs", content);
    EXPECT_THROW(open_log(path), fatal_error) << content;
    EXPECT_EQ(dir.read("theirs"), content);
  }
}

TEST(log_file, what_may_keep_the_run_waiting_is_refused) {
  const test::temp_dir dir;
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  EXPECT_THROW(open_log(dir / "pipe"), fatal_error);
  EXPECT_THROW(open_log(dir.path()), fatal_error);
  EXPECT_EQ(open_log("/dev/null").append(entry), 0);
}

TEST(log_file, an_entry_that_cannot_be_written_is_told) {
  EXPECT_EQ(open_log("/dev/full").append(entry), ENOSPC);
}

std::string refusal(const std::string& path, const std::vector<job_files>& jobs) {
  try {
    require_no_job_file("--flag", path, jobs);
  } catch (const fatal_error& thrown) {
    return thrown.what();
  }
  return "(not refused)";
}

TEST(named_files, those_of_a_job_are_known_by_any_path) {
  const test::temp_dir dir;
  const std::string job = dir.write("x.jsonl", "{}\n");
  const std::vector<job_files> jobs{{job, dir / "o", dir / "e", dir / "t", dir / "s"}};
  std::filesystem::create_hard_link(job, dir / "hard");
  std::filesystem::create_symlink("x.jsonl", dir / "soft");
  for (const char* name : {"x.jsonl", "hard", "soft", "./x.jsonl"}) {
    EXPECT_THAT(refusal(dir / name, jobs), HasSubstr("that is the job")) << name;
  }
  for (const char* name : {"o", "e", "t", "s", "./o", "../"}) {
    const std::string path =
        name == std::string("../")
            ? dir / "../" + std::filesystem::path(dir.path()).filename().string() + "/o"
            : dir / name;
    EXPECT_THAT(refusal(path, jobs), HasSubstr("keeps its results")) << path;
  }
  EXPECT_EQ(refusal(dir / "other", jobs), "(not refused)");
}

TEST(named_files, those_of_other_jobs_are_known_by_their_names) {
  for (const char* name : {"y.output.jsonl", "y.errors.jsonl", "y.totals.json", "y.state"}) {
    EXPECT_THAT(refusal(name, {}), HasSubstr("the name is that of")) << name;
  }
  EXPECT_EQ(refusal("run.log", {}), "(not refused)");
}

}  // namespace
}  // namespace sluice::cli
