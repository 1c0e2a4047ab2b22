#include "jobs/job_files.hpp"

#include <gmock/gmock.h>

#include <filesystem>

#include "sluice/error.hpp"
#include "support/temp_dir.hpp"

namespace sluice {
namespace {

output_options into(std::string directory, std::string file = {}) {
  output_options options;
  options.directory = std::move(directory);
  options.output_file = std::move(file);
  return options;
}

TEST(job_files, are_named_after_the_job) {
  const struct {
    const char* what;
    const char* job;
    output_options options;
    const char* output;
    const char* errors;
    const char* totals;
    const char* state;
  } rows[] = {
      {"beside it", "jobs/x.jsonl", into(""), "jobs/x.output.jsonl", "jobs/x.errors.jsonl",
       "jobs/x.totals.json", "jobs/x.state"},
      {"in the working directory", "x.jsonl", into(""), "x.output.jsonl", "x.errors.jsonl",
       "x.totals.json", "x.state"},
      {"gzip", "x.jsonl.gz", into(""), "x.output.jsonl", "x.errors.jsonl", "x.totals.json",
       "x.state"},
      {"zstd", "x.jsonl.zst", into(""), "x.output.jsonl", "x.errors.jsonl", "x.totals.json",
       "x.state"},
      {"another name", "x.txt", into(""), "x.txt.output.jsonl", "x.txt.errors.jsonl",
       "x.txt.totals.json", "x.txt.state"},
      {"dots in the name", "a.b.jsonl", into(""), "a.b.output.jsonl", "a.b.errors.jsonl",
       "a.b.totals.json", "a.b.state"},
      {"--output-dir", "jobs/x.jsonl", into("out"), "out/x.output.jsonl", "out/x.errors.jsonl",
       "out/x.totals.json", "out/x.state"},
      {"-o", "jobs/x.jsonl", into("", "D/y.jsonl"), "D/y.jsonl", "D/y.errors.jsonl",
       "D/y.totals.json", "D/y.state"},
      {"-o named like an output", "x.jsonl", into("", "D/y.output.jsonl"), "D/y.output.jsonl",
       "D/y.errors.jsonl", "D/y.totals.json", "D/y.state"},
      {"-o without an ending", "x.jsonl", into("", "y"), "y", "y.errors.jsonl", "y.totals.json",
       "y.state"},
      {"standard input", "-", into("out"), "out/stdin.output.jsonl", "out/stdin.errors.jsonl",
       "out/stdin.totals.json", "out/stdin.state"},
      {"standard input with -o", "-", into("", "y.jsonl"), "y.jsonl", "y.errors.jsonl",
       "y.totals.json", "y.state"},
  };
  for (const auto& row : rows) {
    const auto named = name_job_files({row.job}, row.options);
    ASSERT_EQ(named.size(), 1U);
    EXPECT_EQ(named[0].job, row.job) << row.what;
    EXPECT_EQ(named[0].output, row.output) << row.what;
    EXPECT_EQ(named[0].errors, row.errors) << row.what;
    EXPECT_EQ(named[0].totals, row.totals) << row.what;
    EXPECT_EQ(named[0].state, row.state) << row.what;
  }
}

TEST(job_files, that_would_collide_are_refused) {
  const test::temp_dir dir;
  const std::string job = dir.write("x.jsonl", "{}");
  const auto parent = std::filesystem::path(job).parent_path();
  const struct {
    const char* what;
    std::vector<std::string> jobs;
    output_options options;
  } rows[] = {
      {"the same job twice", {"x.jsonl", "x.jsonl"}, into("")},
      {"the same job by two names", {"x.jsonl", "./x.jsonl"}, into("")},
      {"a job and its compressed copy", {"x.jsonl", "x.jsonl.gz"}, into("")},
      {"two of one name in one directory", {"a/x.jsonl", "b/x.jsonl"}, into("out")},
      {"-o for two jobs", {"a.jsonl", "b.jsonl"}, into("", "y.jsonl")},
      {"standard input without a place", {"-"}, into("")},
      {"-o that names a directory", {"x.jsonl"}, into("", "out/")},
      {"-o that is the job", {"x.jsonl"}, into("", "x.jsonl")},
      {"-o that is the job by another name", {"x.jsonl"}, into("", "./x.jsonl")},
      {"-o that is the job by a longer way",
       {job},
       into("", (parent / "." / ".." / parent.filename() / "x.jsonl").string())},
  };
  for (const auto& row : rows) {
    EXPECT_THROW(name_job_files(row.jobs, row.options), fatal_error) << row.what;
  }
  EXPECT_EQ(dir.entries(), 1U) << "naming touches nothing";
}

TEST(job_files, of_several_jobs_stand_apart) {
  const auto named = name_job_files({"a/x.jsonl", "b/x.jsonl", "a/y.jsonl"}, into(""));
  EXPECT_EQ(named[1].output, "b/x.output.jsonl");
  EXPECT_EQ(named[2].output, "a/y.output.jsonl");
}

TEST(job_files, results_are_told_from_jobs) {
  for (const char* path :
       {"x.output.jsonl", "a/x.errors.jsonl", "x.output.jsonl.gz", "x.errors.jsonl.zst"}) {
    EXPECT_TRUE(is_result_file(path)) << path;
  }
  for (const char* path :
       {"x.jsonl", "output.jsonl", "x.output.json", "x.totals.json", "-", "x.output.jsonl.old-1"}) {
    EXPECT_FALSE(is_result_file(path)) << path;
  }
}

TEST(job_files, a_job_under_several_names_is_one) {
  const test::temp_dir dir;
  const std::string job = dir.write("x.jsonl", "{}\n");
  const std::string other = dir.write("y.jsonl", "{}\n");
  std::filesystem::create_symlink("x.jsonl", dir / "link.jsonl");
  std::filesystem::create_hard_link(job, dir / "hard.jsonl");
  const std::string missing = dir / "missing.jsonl";
  const auto told = without_repeats({job, dir / "./x.jsonl", other, dir / "link.jsonl",
                                     dir / "hard.jsonl", missing, missing, "-", "-"});
  EXPECT_EQ(told.jobs, (std::vector<std::string>{job, other, missing, missing, "-", "-"}));
  for (const char* name : {"./x.jsonl", "link.jsonl", "hard.jsonl"}) {
    EXPECT_THAT(told.repeats, testing::HasSubstr(name));
  }
  EXPECT_EQ(told.repeats.find('\n'), std::string::npos);
  EXPECT_TRUE(without_repeats({job, other}).repeats.empty());
}

}  // namespace
}  // namespace sluice
