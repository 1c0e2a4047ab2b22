#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cli/settings/setting.hpp"
#include "sluice/config.hpp"

namespace sluice::cli {

/// Where the key of a pool's member stands.
struct key_place {
  std::string variable;  ///< of the environment
  std::string file;      ///< read where no variable is named; neither: the key of the run
};

/// What `sluice run` can be told.
struct run_settings {
  config engine;
  std::vector<key_place> pool_keys;  ///< by the members of the pool
  duration grace = std::chrono::seconds{30};
  std::optional<std::string> simulate;  ///< profile of the built-in simulator
  std::string log_file;
  std::string config_file;              ///< that was read; empty: none
  std::string price_group = "default";  ///< of the key, in a relay's own price list
  bool multiplier_given = false;        ///< engine.price_multiplier is somebody's word
  bool quiet = false;
  bool verbose = false;
};

/// The flag table of `sluice run`; each entry writes into `target`, which must outlive it.
std::vector<setting> run_flags(run_settings& target);
/// The same settings with flags for the named ones alone: the config file and the environment say
/// the others, so that one file serves every command.
std::vector<setting> run_flags(run_settings& target, const std::set<std::string>& on_line);
/// The tables of its config file: `[[relay]]`, the members of a pool.
std::vector<setting_tables> run_tables(run_settings& target);
/// Applies what the config file (the named one, or as find_config() finds it), the environment and
/// the line say to `target`, of which `flags` were made. Throws fatal_error.
void read_settings(const settings& flags, const std::string& named_config, run_settings& target);
/// Reads the members' keys, once it is certain that the pool is used: a rehearsal needs none.
/// Throws fatal_error that names the member.
void read_pool_keys(run_settings& target);

}  // namespace sluice::cli
