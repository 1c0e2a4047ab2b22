#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/id_table.hpp"
#include "jobs/job_files.hpp"
#include "sluice/totals.hpp"

namespace sluice {

/// Who works on a job, as its files show it.
struct job_life {
  enum class state : std::uint8_t {
    at_rest,  ///< no run: its totals tell how the last one ended
    running,  ///< a run holds its output
    killed,   ///< the last run ended without a word
    unknown   ///< the file system has no locks, and the totals are those of a run
  };
  state is = state::at_rest;
  pid_t process = 0;                 ///< of the run; 0: not visible from here
  std::optional<double> since = {};  ///< when that process started; Unix time
  double quiet_s = 0;                ///< since one of the files was last written
};

/// Looks at a job's files without changing them. `status`: what its totals say.
job_life life_of(const job_files& files, std::string_view status);

/// Counts the results of a job from its output and errors files, also while a run writes them. Not
/// thread safe.
class job_follower {
 public:
  explicit job_follower(job_files files) : files_(std::move(files)) {}

  /// Reads what has come since the last call, and counts all lines as a run that resumes would.
  /// `stored`: the totals document of the job, which has what stands in no line. Returns the same
  /// document with the numbers of now, and with that status. Throws fatal_error where a file cannot
  /// be read.
  std::string totals_now(const std::string& stored, job_status status);

 private:
  struct entry {
    bool done = false;
    bool failed = false;
    bool retryable = false;
    std::uint16_t error = 0;
  };
  struct followed {
    std::uint64_t offset = 0;  // what stands before it is counted
    dev_t device = 0;
    ino_t number = 0;
  };

  void forget();
  bool read(const std::string& path, followed& at, bool successes);
  void count(std::string_view line, bool success);
  std::uint16_t number_of(const std::string& error);

  job_files files_;
  followed output_;
  followed errors_;
  job_totals totals_;
  id_table<entry> entries_;
  std::map<std::uint64_t, bool> bad_lines_;
  std::vector<std::string> error_names_;
};

}  // namespace sluice
