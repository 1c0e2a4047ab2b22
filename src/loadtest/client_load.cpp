#include "loadtest/client_load.hpp"

#include <ctime>
#include <fstream>

namespace sluice::bench {

client_load::usage client_load::so_far() {
  constexpr double second = 1e9;
  timespec cpu{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
  usage told;
  told.cpu_s = static_cast<double>(cpu.tv_sec) + static_cast<double>(cpu.tv_nsec) / second;
  told.busy_s = told.cpu_s;
  std::ifstream schedstat("/proc/thread-self/schedstat");
  double ran = 0;
  double waited = 0;
  if (schedstat >> ran >> waited) told.busy_s += waited / second;
  return told;
}

client_load::usage client_load::since() const {
  const usage now = so_far();
  return {now.cpu_s - begin_.cpu_s, now.busy_s - begin_.busy_s};
}

}  // namespace sluice::bench
