#include "job_files.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <initializer_list>
#include <map>
#include <string_view>

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

bool same_file(const fs::path& one, const fs::path& other) {
  return fs::weakly_canonical(fs::absolute(one)) == fs::weakly_canonical(fs::absolute(other));
}

[[noreturn]] void refuse(const std::string& sentence) {
  throw fatal_error(fatal_error::kind::cannot_start, sentence);
}

}  // namespace

bool is_result_file(const std::string& path) {
  const std::string plain = without_endings(path, {".gz", ".zst"});
  return plain.ends_with(".output.jsonl") || plain.ends_with(".errors.jsonl");
}

std::vector<job_files> name_job_files(const std::vector<std::string>& jobs,
                                      const output_options& options) {
  if (!options.output_file.empty() && jobs.size() > 1) {
    refuse("-o names the output of one job, and there are several; use --output-dir instead");
  }
  std::vector<job_files> named;
  std::map<std::string, std::string> taken;  // output → job
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
    if (job != "-" && same_file(files.output, job))
      refuse(fmt::format("{}: the output would overwrite the job", job));
    const auto [other, fresh] =
        taken.emplace(fs::path(files.output).lexically_normal().string(), job);
    if (!fresh) {
      refuse(fmt::format("{} and {} would both write {}; run them apart, with --output-dir",
                         other->second, job, files.output));
    }
    named.push_back(std::move(files));
  }
  return named;
}

}  // namespace sluice
