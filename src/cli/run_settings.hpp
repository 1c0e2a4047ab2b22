#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/setting.hpp"
#include "sluice/config.hpp"

namespace sluice::cli {

/// What `sluice run` can be told.
struct run_settings {
  config engine;
  duration grace = std::chrono::seconds{30};
  std::optional<std::string> simulate;  ///< profile of the built-in simulator
  std::string log_file;
  bool quiet = false;
  bool verbose = false;
};

/// The flag table of `sluice run`; each entry writes into `target`, which must outlive it.
std::vector<setting> run_flags(run_settings& target);
/// The tables of its config file: `[[relay]]`, the members of a pool.
std::vector<setting_tables> run_tables(run_settings& target);

}  // namespace sluice::cli
