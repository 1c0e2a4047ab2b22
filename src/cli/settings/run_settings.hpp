#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/language.hpp"
#include "cli/closing_time.hpp"
#include "cli/screen/screen_choices.hpp"
#include "notify/webhook_form.hpp"
#include "settings/setting.hpp"
#include "sluice/config.hpp"

namespace sluice::cli {

/// The source of the key of a pool's member.
struct key_source {
  /// Name of an environment variable; empty: none.
  std::string variable;
  /// File with the key, used if there is no variable. If both are empty, the key of the run is
  /// used.
  std::string file;
};

/// The first line of a file with a secret. Throws bad_setting.
std::string read_secret_file(const std::string& path);

/// The message at the end of a run: --notify and its flags.
struct notify_options {
  std::string url;  ///< empty: no message
  notify::webhook_form form = notify::webhook_form::standard;
  std::string secret;  ///< signs the message; empty: it is not signed
};

/// The settings of `sluice run`, and of the commands that use some of them.
struct run_settings {
  config engine;
  /// One for each member of the pool, in the same order.
  std::vector<key_source> pool_keys;
  duration grace = std::chrono::seconds{30};
  /// Threads that send requests.
  unsigned threads = 1;
  /// Profile of the built-in simulator; nullopt: a real relay.
  std::optional<std::string> simulate;
  std::string log_file;
  bool json_log = false;
  /// When the run starts no more requests.
  closing_options closing;
  notify_options notify;
  /// URL of the PostgreSQL database through which machines share the limit; empty: they do not.
  std::string limit_store;
  /// Name of the only [[relay]] to use; empty: all.
  std::string only_relay;
  /// Path of the config file that was read; empty: none.
  std::string config_file;
  /// Profile of the config file that is used; empty: none.
  std::string profile;
  /// Sentences about relays that two settings name: which setting won, and why.
  std::vector<std::string> overruled;
  /// Group of the key in the relay's own price list.
  std::string price_group = "default";
  /// The user set engine.price_multiplier.
  bool multiplier_given = false;
  progress_kind progress = progress_kind::automatic;
  bool progress_given = false;  ///< the user set it
  colour_choice colour = colour_choice::automatic;
  std::optional<language> spoken;  ///< language of the screen; nullopt: that of the environment
  bool quiet = false;
  bool verbose = false;
};

/// The flag table of `sluice run`. Each entry writes into `target`, which must outlive it.
std::vector<setting> run_flags(run_settings& target);
/// The same settings for another command, with flags only for the names in `on_line`, for --config
/// and for --profile. The config file and the environment may set the others, so that one file
/// works for all commands.
std::vector<setting> run_flags(run_settings& target, const std::set<std::string>& on_line);
/// The amount of a budget that must be above zero. Throws bad_setting.
usd parse_spending(const std::string& text);
/// Flags that several commands share.
setting json_flag(bool& place);
setting html_flag(std::string& place);
/// The repeated tables of the config file: `[[relay]]`, the members of a pool.
std::vector<setting_tables> run_tables(run_settings& target);
/// The keys of such a table, each with its help text.
std::vector<std::pair<std::string, std::string>> relay_keys();
/// Applies the config file, the environment and the command line to `target`, for which `flags`
/// were made. Throws fatal_error.
void read_settings(const settings& flags, run_settings& target);
/// Reads the keys of the pool's members. Call it only if the pool is really used, because a
/// rehearsal needs no keys. Throws fatal_error that names the member.
void read_pool_keys(run_settings& target);

/// The sum of the limits of all relays, in requests per minute; 0: no limit.
std::uint64_t requests_per_minute(const config& options);

}  // namespace sluice::cli
