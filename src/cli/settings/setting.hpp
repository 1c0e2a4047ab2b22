#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sluice/clock.hpp"

namespace sluice::cli {

/// One thing a command can be told: by flag, by environment, by config file, in that order of
/// precedence. The tables of settings are the only place where a flag is described; `--help` is
/// made of them.
struct setting {
  std::string name = {};   ///< of the long flag, and of the config key
  char letter = 0;         ///< of the short flag; 0: none
  std::string value = {};  ///< what a value is called in the help; empty: a switch
  std::string help = {};
  std::string group = {};
  std::function<void(const std::string&)> apply;  ///< a switch gets "true"; throws bad_setting
  std::string environment = {};                   ///< variable that sets it; empty: none
  bool repeatable = false;
  bool in_config = true;
  bool on_line = true;          ///< there is a flag for it
  bool secret = false;          ///< what it is set to is not to be shown
  std::string bare_value = {};  ///< for a flag whose value may be left out: `--flag[=VALUE]`
  /// Takes a table of the config file, pair by pair, in the place of `apply`.
  std::function<void(const std::string& key, const std::string& value)> apply_pair = {};
};

/// Tables of one name that the config file may hold, `[[name]]`, each with settings of its own.
struct setting_tables {
  std::string name;
  std::function<std::vector<setting>()> begin;  ///< called for each, before its settings apply
};

/// A value that a setting cannot take; what() says what it can.
class bad_setting : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A config file, as it was when it was looked at.
struct config_file {
  std::string path;
  std::string text;
};

/// Puts the settings of one command onto its parser, and then, once the line is parsed, applies
/// what the config file, the environment and the line say, in this order.
class settings {
 public:
  explicit settings(std::vector<setting> table, std::vector<setting_tables> tables = {});

  void add_to(CLI::App& command);
  /// Throws fatal_error, naming the flag, variable or key whose value cannot be used.
  void apply(const std::optional<config_file>& config) const;
  /// Whether the line has that flag.
  bool on_line(const std::string& name) const;

 private:
  struct given {
    CLI::Option* option = nullptr;
    std::vector<std::string> values;
    bool on = false;
  };
  void apply_config(const config_file& config) const;
  std::vector<setting> table_;
  std::vector<setting_tables> tables_;
  std::vector<std::unique_ptr<given>> given_;
};

/// The config file to read: the named one, else ./sluice.toml, else sluice/config.toml under
/// $XDG_CONFIG_HOME, else none. A config file may say where the key is sent. So a file that the
/// user has not named must not be writable or replaceable by other users, and ./sluice.toml must
/// belong to the user or to root. Throws fatal_error otherwise, and when the file cannot be read.
std::optional<config_file> find_config(const std::string& named);

// Values as people write them; each throws bad_setting.
duration parse_duration(const std::string& text);  ///< 250ms, 10s, 2m, 1h
std::uint64_t parse_count(const std::string& text, std::uint64_t most);
bool parse_switch(const std::string& text);

}  // namespace sluice::cli
