#include "terminal/descriptors.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "sluice/error.hpp"

namespace sluice::cli {

void open_standard_descriptors() {
  for (const auto& [descriptor, access] :
       {std::pair{STDIN_FILENO, O_WRONLY}, {STDOUT_FILENO, O_RDONLY}, {STDERR_FILENO, O_WRONLY}}) {
    if (::fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
    // open() takes the lowest free descriptor, which is this one. Without /dev/null it stays
    // closed.
    (void)!::open("/dev/null", access);
  }
}

void allow_open_files() {
  constexpr rlim_t fewest = 16;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_max >= fewest) return;
  throw fatal_error(fatal_error::kind::cannot_start,
                    fmt::format("only {} files may be open, and a run needs at least {}; raise "
                                "ulimit -n",
                                files.rlim_max, fewest));
}

void require_standard_input(const std::vector<std::string>& jobs) {
  if (std::find(jobs.begin(), jobs.end(), "-") == jobs.end()) return;
  const int flags = ::fcntl(STDIN_FILENO, F_GETFL);
  if (flags >= 0 && (flags & O_ACCMODE) != O_WRONLY) return;
  throw fatal_error(fatal_error::kind::cannot_start,
                    "-: standard input is closed; give it the job, as in: sluice run - < FILE, "
                    "or name the file");
}

}  // namespace sluice::cli
