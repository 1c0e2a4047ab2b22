#include "cli/named_files.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <filesystem>

#include "settings/ownership.hpp"
#include "sluice/error.hpp"

namespace sluice::cli {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse_file(const std::string& flag, const std::string& path,
                              const std::string& why) {
  throw fatal_error(fatal_error::kind::cannot_start,
                    fmt::format("{} {}: {}; name another file", flag, path, why));
}

fs::path one_name(const std::string& path) {
  std::error_code error;
  const fs::path whole = fs::absolute(path, error);
  fs::path name = fs::weakly_canonical(whole, error);
  return error ? whole.lexically_normal() : name;
}

// Whether two paths name the same file, directly or through links.
bool same_file(const std::string& one, const std::string& other) {
  std::error_code not_there;
  return fs::equivalent(one, other, not_there) || one_name(one) == one_name(other);
}

}  // namespace

void require_no_job_file(const std::string& flag, const std::string& path,
                         const std::vector<job_files>& jobs) {
  for (const auto& files : jobs) {
    if (files.job != "-" && same_file(path, files.job)) refuse_file(flag, path, "that is the job");
    for (const auto& kept : {files.output, files.errors, files.totals, files.state}) {
      if (same_file(path, kept)) refuse_file(flag, path, "a run keeps its results there");
    }
  }
  if (is_result_file(path) || path.ends_with(".totals.json") || path.ends_with(".state")) {
    refuse_file(flag, path, "the name is that of a file in which a run keeps its results");
  }
}

void require_no_strange_link(const std::string& flag, const std::string& path) {
  struct stat link {};
  if (::lstat(path.c_str(), &link) != 0 || !S_ISLNK(link.st_mode) || is_own(link)) return;
  refuse_file(flag, path, fmt::format("is a link of another user ({})", link.st_uid));
}

}  // namespace sluice::cli
