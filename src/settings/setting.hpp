#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/clock.hpp"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace sluice::cli {

/// One setting of a command. A flag, an environment variable and a key of the config file may set
/// it; the flag wins over the variable, and the variable over the file. The tables of settings are
/// the only description of the flags: the parser and both helps are made from them, so a man page
/// and shell completions can be made from them as well.
struct setting {
  /// Name of the long flag, and of the config key where `in_config` is set.
  std::string name = {};
  /// Letter of the short flag; 0: none.
  char letter = 0;
  /// Name of the value in the help, like TIME; empty: a switch, which takes no value.
  std::string value = {};
  /// Heading of the help under which the flag stands.
  std::string group = {};
  /// For `-h`: one line of at most 60 characters, without a full stop.
  std::string short_help = {};
  /// For `--help`: one to four sentences. What it does, and when one would change it.
  std::string long_help = {};
  /// The default as one would type it; empty: none, or one that no value stands for.
  std::string default_value = {};
  /// All values it takes, where they are a list; empty: any value that `apply` accepts.
  std::vector<std::string> choices = {};
  /// Takes the value; a switch gets "true" or "false". Throws bad_setting.
  std::function<void(const std::string&)> apply;
  /// Environment variable that sets it; empty: none.
  std::string environment = {};
  /// The flag may stand several times, and each value counts. Otherwise the last one counts.
  bool repeatable = false;
  /// The config file may set it.
  bool in_config = true;
  /// There is a flag for it.
  bool on_line = true;
  /// Its value must not be shown.
  bool secret = false;
  /// Value of a flag that stands without one, for `--flag[=VALUE]`; empty: the value is required.
  std::string bare_value = {};
  /// Takes a table of the config file, pair by pair; then `apply` is not called.
  std::function<void(const std::string& key, const std::string& value)> apply_pair = {};
};

/// What the help calls the value: its choices where they are few and short, like `burst|even`, else
/// the name of the value.
std::string value_name(const setting& entry);

/// Gives one flag of a table other texts, where a command uses it in another way. `default_value`
/// stays as it is where none is given.
void describe(std::vector<setting>& table, std::string_view name, std::string short_help,
              std::string long_help, const std::optional<std::string>& default_value = {});

/// Tables that the config file may hold several times under one name, as `[[name]]`.
struct setting_tables {
  std::string name;
  /// Called for each table; returns the settings that take its keys.
  std::function<std::vector<setting>()> begin;
};

/// A value that a setting cannot take; what() says what it takes.
class bad_setting : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A config file: its path, and its text when it was checked.
struct config_file {
  std::string path;
  std::string text;
};

/// The settings of one command: adds their flags to its parser and, once the command line is
/// parsed, applies first the config file, then the environment, then the profile, then the flags.
/// Not safe for use by several threads at once.
///
/// A profile is a table `[profile.NAME]` of the config file, with the keys of the file. It stands
/// for the flags that it lists, so it wins over the environment, and a flag wins over it.
class settings {
 public:
  explicit settings(std::vector<setting> table, std::vector<setting_tables> tables = {});

  void add_to(CLI::App& command);
  /// `profile`: the one to use; empty: none. Returns the keys that it sets. Throws fatal_error that
  /// names the flag, variable, key or profile that cannot be used.
  std::set<std::string> apply(const std::optional<config_file>& config,
                              const std::string& profile = {}) const;
  /// Whether the command line has the flag.
  bool on_line(std::string_view name) const;
  /// The value of a flag on the command line, the last one where there are several; empty: the flag
  /// is not there.
  std::string line_value(std::string_view name) const;

  const std::vector<setting>& table() const noexcept { return table_; }

  /// What apply() has set, by name and value, in the order of the table; a secret is "[hidden]".
  std::vector<std::pair<std::string, std::string>> given() const;

 private:
  // What the command line says about one flag.
  struct line_flag {
    CLI::Option* option = nullptr;
    std::vector<std::string> values;
    bool on = false;
    bool present() const;
  };
  const line_flag* find_flag(std::string_view name) const;
  void apply_environment() const;
  void apply_line() const;
  using values_by_name = std::map<std::string, std::vector<std::string>>;
  std::shared_ptr<values_by_name> given_ = std::make_shared<values_by_name>();
  std::vector<setting> table_;
  std::vector<setting_tables> tables_;
  std::vector<std::unique_ptr<line_flag>> flags_;
};

/// The config file to read: the one of `--config`, else ./sluice.toml, else sluice/config.toml
/// under $XDG_CONFIG_HOME, else none. A config file may name the host that gets the key. So a file
/// that the user did not name must not be writable or replaceable by other users, and ./sluice.toml
/// must belong to the user or to root. Throws fatal_error otherwise, and where the file cannot be
/// read.
std::optional<config_file> find_config(const std::string& named);

// Values as people write them; each function throws bad_setting.
duration parse_duration(const std::string& text);  ///< 250ms, 10s, 2m, 1h
std::uint64_t parse_count(const std::string& text, std::uint64_t most);
bool parse_switch(const std::string& text);

}  // namespace sluice::cli
