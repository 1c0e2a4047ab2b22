#include "jobs/job_files.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <filesystem>
#include <initializer_list>
#include <map>
#include <string_view>
#include <utility>

#include "base/printable.hpp"
#include "base/refuse.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

namespace fs = std::filesystem;

std::string without_endings(std::string name, std::initializer_list<std::string_view> endings) {
  for (const std::string_view ending : endings) {
    if (name.size() > ending.size() && name.ends_with(ending))
      name.resize(name.size() - ending.size());
  }
  return name;
}

// Returns one name for a file, however its path is written; links are resolved. The file need not
// exist. Whether it can be used is checked when it is opened.
fs::path one_name(const std::string& path) {
  std::error_code error;
  const fs::path whole = fs::absolute(path, error);
  fs::path name = fs::weakly_canonical(whole, error);
  return error ? whole.lexically_normal() : name;
}

// Refuses if one of the result files is the job itself, under any name or link.
void require_apart(const job_files& files) {
  if (files.job == "-") return;
  const fs::path job = one_name(files.job);
  for (const std::string& path : {files.output, files.errors, files.totals, files.state}) {
    std::error_code not_there;
    if (one_name(path) == job || fs::equivalent(path, files.job, not_there)) {
      refuse(
          fmt::format("{}: the results would overwrite the job ({}); choose another place with "
                      "-o or --output-dir",
                      files.job, path));
    }
  }
}

}  // namespace

std::vector<std::string> other_outputs(const job_files& files) {
  const std::string stem = without_endings(files.errors, {".errors.jsonl"});
  std::vector<std::string> others;
  for (const std::string_view ending : {"", ".output", ".jsonl", ".output.jsonl"}) {
    std::string other = stem + std::string(ending);
    if (other != files.output && other != files.job) others.push_back(std::move(other));
  }
  return others;
}

bool is_result_file(const std::string& path) {
  const std::string plain = without_endings(path, {".gz", ".zst"});
  return plain.ends_with(".output.jsonl") || plain.ends_with(".errors.jsonl");
}

distinct_jobs without_repeats(const std::vector<std::string>& jobs) {
  distinct_jobs told;
  std::map<std::pair<dev_t, ino_t>, std::string> seen;
  for (const std::string& job : jobs) {
    struct stat info {};
    if (job == "-" || ::stat(job.c_str(), &info) != 0) {
      told.jobs.push_back(job);
      continue;
    }
    const auto [first, fresh] = seen.emplace(std::pair(info.st_dev, info.st_ino), job);
    if (fresh) {
      told.jobs.push_back(job);
    } else {
      if (!told.repeats.empty()) told.repeats += ", ";
      told.repeats += fmt::format("{} is {}", printable_text(job), printable_text(first->second));
    }
  }
  if (!told.repeats.empty()) told.repeats += " under another name: each job is taken once";
  return told;
}

std::vector<job_files> name_job_files(const std::vector<std::string>& jobs,
                                      const output_options& options) {
  if (!options.output_file.empty() && jobs.size() > 1) {
    refuse("-o names the output of one job, and there are several; use --output-dir instead");
  }
  if (!options.output_file.empty() && !options.directory.empty()) {
    refuse("-o names a file and --output-dir a folder for the same results; give one of them");
  }
  if (options.output_file == "-") {
    refuse("-o -: results are kept in files, so that a run can go on; name a file");
  }
  std::vector<job_files> named;
  std::map<fs::path, std::string> taken;  // output → job
  for (const std::string& job : jobs) {
    fs::path directory =
        options.directory.empty() ? fs::path(job).parent_path() : fs::path(options.directory);
    std::string stem =
        job == "-" ? "stdin"
                   : without_endings(fs::path(job).filename().string(), {".gz", ".zst", ".jsonl"});
    std::string output_name = stem + ".output.jsonl";
    if (!options.output_file.empty()) {
      const fs::path file(options.output_file);
      if (file.filename().empty()) refuse(fmt::format("-o {}: names no file", options.output_file));
      directory = file.parent_path();
      output_name = file.filename().string();
      stem = without_endings(output_name, {".jsonl", ".output"});
    } else if (job == "-" && options.directory.empty()) {
      refuse("results of standard input need a place: give -o FILE or --output-dir DIR");
    }
    job_files files{
        job, (directory / output_name).string(), (directory / (stem + ".errors.jsonl")).string(),
        (directory / (stem + ".totals.json")).string(), (directory / (stem + ".state")).string()};
    if (job.empty()) refuse("'' names no job; name a JSONL file");
    const fs::path output = one_name(files.output);
    require_apart(files);
    const auto [other, fresh] = taken.emplace(output, job);
    if (!fresh) {
      refuse(fmt::format("{} and {} would both write {}; run them apart, with --output-dir",
                         other->second, job, files.output));
    }
    named.push_back(std::move(files));
  }
  return named;
}

}  // namespace sluice
