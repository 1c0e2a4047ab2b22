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
/// the only description of the flags. The parser and both help texts are made from them, and a man
/// page and shell completions can be made too.
struct setting {
  /// Name of the long flag, and of the config key if `in_config` is set.
  std::string name = {};
  /// Letter of the short flag; 0: none.
  char letter = 0;
  /// Name of the value in the help, like TIME; empty: a switch, which takes no value.
  std::string value = {};
  /// Heading of the help section that lists the flag.
  std::string group = {};
  /// For `-h`: one line of at most 60 characters, without a full stop.
  std::string short_help = {};
  /// For `--help`: one to four sentences. What it does, and when a user would change it.
  std::string long_help = {};
  /// The default as a user would type it; empty: none, or it cannot be typed.
  std::string default_value = {};
  /// All accepted values, if they are a list; empty: any value that `apply` accepts.
  std::vector<std::string> choices = {};
  /// Takes the value; a switch gets "true" or "false". Throws bad_setting.
  std::function<void(const std::string&)> apply;
  /// Environment variable that sets it; empty: none.
  std::string environment = {};
  /// The flag may be given several times, and each value counts. Otherwise the last one counts.
  bool repeatable = false;
  /// Called before each source of values is applied, the weakest source first. A repeatable setting
  /// can use it to let a value replace those of weaker sources.
  std::function<void()> begin_source = {};
  /// The config file may set it.
  bool in_config = true;
  /// There is a flag for it.
  bool on_line = true;
  /// Its value must not be shown.
  bool secret = false;
  /// Value of a flag that is given without one, for `--flag[=VALUE]`; empty: the value is required.
  std::string bare_value = {};
  /// Takes a table of the config file, one pair after another. If it is set, `apply` is not called
  /// for a table.
  std::function<void(const std::string& key, const std::string& value)> apply_pair = {};
};

/// The name of the value in the help: its choices if they are few and short, like `burst|even`,
/// otherwise `value`.
std::string value_name(const setting& entry);

/// Replaces the texts of one flag in a table, if a command uses the flag in another way.
/// `default_value`: unset keeps the default.
void describe(std::vector<setting>& table, std::string_view name, std::string short_help,
              std::string long_help, const std::optional<std::string>& default_value = {});

/// Tables that the config file may contain several times under one name, as `[[name]]`.
struct setting_tables {
  std::string name;
  /// Called for each table; returns the settings that take its keys.
  std::function<std::vector<setting>()> begin;
};

/// A value that a setting does not accept; what() says what it accepts.
class bad_setting : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A config file: its path, and its text when it was checked.
struct config_file {
  std::string path;
  std::string text;
};

/// A key of the config file that another command takes.
struct other_key {
  std::string name;
  bool secret = false;  ///< its value must not be shown
};

/// The settings of one command. Adds their flags to its parser. After the command line is parsed,
/// it applies first the config file, then the environment, then the profile, then the flags. Not
/// thread safe.
///
/// A profile is a table `[profile.NAME]` of the config file, with the same keys as the file. It
/// replaces the flags that it lists, so it wins over the environment, and a flag wins over it.
class settings {
 public:
  explicit settings(std::vector<setting> table, std::vector<setting_tables> tables = {});

  /// apply() ignores these keys if the table does not have them, so that all commands can use one
  /// config file. `make` is called at most once for each apply(), and only if it is needed.
  void ignore(std::function<std::vector<other_key>()> make) { other_keys_ = std::move(make); }

  void add_to(CLI::App& command);
  /// `profile`: the profile to use; empty: none. Returns the keys that it sets. Throws fatal_error
  /// if a flag, variable, key or profile cannot be used, and names it.
  std::set<std::string> apply(const std::optional<config_file>& config,
                              const std::string& profile = {}) const;
  /// Whether the command line has the flag.
  bool on_line(std::string_view name) const;
  /// The value of a flag on the command line; the last one if there are several. Empty: the flag
  /// was not given.
  std::string line_value(std::string_view name) const;

  const std::vector<setting>& table() const noexcept { return table_; }
  /// The names of the flags whose values must not be shown.
  std::vector<std::string> secret_flags() const;

  /// What apply() has set, by name and value, in the order of the table. A secret is shown as
  /// "[hidden]".
  std::vector<std::pair<std::string, std::string>> given() const;

 private:
  // One flag as it was given on the command line.
  struct line_flag {
    CLI::Option* option = nullptr;
    std::vector<std::string> values;
    bool on = false;
    bool present() const;
  };
  const line_flag* find_flag(std::string_view name) const;
  void begin_source() const;
  void apply_environment() const;
  void apply_line() const;
  using values_by_name = std::map<std::string, std::vector<std::string>>;
  std::shared_ptr<values_by_name> given_ = std::make_shared<values_by_name>();
  std::vector<setting> table_;
  std::vector<setting_tables> tables_;
  std::function<std::vector<other_key>()> other_keys_;
  std::vector<std::unique_ptr<line_flag>> flags_;
};

/// The config file to read, the first that exists of: the one named by `--config`, ./sluice.toml,
/// sluice/config.toml under $XDG_CONFIG_HOME. A config file may name the host that gets the key. So
/// a file that the user did not name must not be writable or replaceable by other users, and
/// ./sluice.toml must belong to the user or to root. Throws fatal_error otherwise, and if the file
/// cannot be read.
std::optional<config_file> find_config(const std::string& named);

// Parse values as people write them. Each function throws bad_setting.
duration parse_duration(const std::string& text);  ///< 250ms, 10s, 2m, 1h
std::uint64_t parse_count(const std::string& text, std::uint64_t most);
bool parse_switch(const std::string& text);

}  // namespace sluice::cli
