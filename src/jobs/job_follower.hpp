#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/id_table.hpp"
#include "jobs/job_files.hpp"
#include "jobs/line_rejections.hpp"
#include "jobs/state_file.hpp"
#include "sluice/totals.hpp"

namespace sluice {

/// Whether a run works on a job, as its files show.
struct job_life {
  enum class state : std::uint8_t {
    at_rest,  ///< no run is active; the totals say how the last one ended
    running,  ///< a run holds the lock on its output
    killed,   ///< the last run ended without writing its final totals
    unknown   ///< the file system has no locks, and the totals say that a run is active
  };
  state is = state::at_rest;
  pid_t process = 0;                 ///< the run's process id; 0: not visible from here
  std::optional<double> since = {};  ///< when that process started; Unix time
  double quiet_s = 0;                ///< seconds since one of the files was last written
};

/// Examines a job's files without changing them. `status`: the status in its totals.
job_life life_of(const job_files& files, std::string_view status);

/// Counts the results of a job from its output and errors files, also while a run writes them. Not
/// thread safe.
class job_follower {
 public:
  explicit job_follower(job_files files) : files_(std::move(files)) {}

  /// Reads the lines that were added since the last call, and counts all lines as a resumed run
  /// would. `stored`: the totals document of the job, which contains the numbers that no line
  /// contains. Returns the same document with the current numbers and with `status`. Throws
  /// fatal_error if a file cannot be read.
  std::string totals_now(const std::string& stored, job_status status);

 private:
  struct entry {
    std::uint32_t attempts = 0;  // that its lines report
    std::uint16_t error = 0;
    bool done : 1 = false;
    bool failed : 1 = false;
    bool retryable : 1 = false;
  };
  struct followed {
    std::uint64_t offset = 0;  // everything before this offset has been counted
    dev_t device = 0;
    ino_t number = 0;
  };

  void forget();
  bool read(const std::string& path, followed& at, bool successes);
  void count(std::string_view line, bool success);
  std::uint16_t number_of(const std::string& error);
  void add_life(const state_file& state, job_totals& now);

  job_files files_;
  followed output_;
  followed errors_;
  job_totals totals_;
  id_table<entry> entries_;
  line_rejections rejected_;
  std::map<std::uint64_t, bool> bad_lines_;
  std::vector<std::string> error_names_;
};

}  // namespace sluice
