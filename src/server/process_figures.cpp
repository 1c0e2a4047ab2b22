#include "server/process_figures.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>

namespace sluice::server {
namespace {

// Returns the Unix time of the machine's start; 0: unknown.
double boot_time() {
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);) {
    double seconds = 0;
    if (line.starts_with("btime ") && std::istringstream(line.substr(6)) >> seconds) return seconds;
  }
  return 0;
}

// Reads the fields of /proc/self/stat after the program's name, which may contain any characters.
void read_stat(process_figures& figures) {
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  std::istringstream fields(line.substr(std::min(line.rfind(')') + 1, line.size())));
  const double ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  std::string skipped;
  double user = 0;
  double system = 0;
  double started = 0;
  for (int i = 0; i < 11; ++i) fields >> skipped;  // fields 3 to 13
  fields >> user >> system;
  for (int i = 0; i < 6; ++i) fields >> skipped;  // fields 16 to 21
  if (!(fields >> started >> figures.virtual_bytes)) return;
  figures.cpu_seconds = (user + system) / ticks;
  const double boot = boot_time();
  if (boot > 0) figures.started_at = boot + started / ticks;
}

}  // namespace

process_figures read_process_figures() {
  process_figures figures;
  read_stat(figures);
  std::uint64_t pages = 0;
  std::ifstream memory("/proc/self/statm");
  if (memory >> pages >> pages) {
    figures.resident_bytes = pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  }
  std::error_code error;
  for (std::filesystem::directory_iterator each("/proc/self/fd", error), end; !error && each != end;
       each.increment(error)) {
    ++figures.open_files;
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) figures.most_open_files = limit.rlim_cur;
  return figures;
}

}  // namespace sluice::server
