#pragma once

#include <cstdint>

namespace sluice::server {

/// The system's figures for this process; 0: unknown.
struct process_figures {
  std::uint64_t resident_bytes = 0;
  std::uint64_t virtual_bytes = 0;
  std::uint64_t open_files = 0;
  std::uint64_t most_open_files = 0;
  double cpu_seconds = 0;
  double started_at = 0;  ///< Unix time
};

/// Reads them from /proc. Safe to call from any thread.
process_figures read_process_figures();

}  // namespace sluice::server
