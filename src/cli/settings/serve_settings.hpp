#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "cli/settings/run_settings.hpp"
#include "server/batch_server.hpp"
#include "settings/setting.hpp"

namespace sluice::cli {

/// The settings of `sluice serve`.
struct serve_settings {
  run_settings run;
  std::string listen = "127.0.0.1:8080";
  /// Path of the data folder; empty: sluice/serve under $XDG_DATA_HOME.
  std::string data;
  /// "sqlite": a database in the data folder; otherwise the URL of a PostgreSQL database that
  /// several servers share.
  std::string store = "sqlite";
  /// If a server is silent for this time, another server may take over its batches.
  duration lease = std::chrono::seconds{60};
  /// File of the clients' keys; empty: every client on this machine may do everything.
  std::string keys;
  /// Host names that clients without a key may use for the server, in addition to those of this
  /// machine.
  std::set<std::string> allowed_hosts;
  std::string certificate;
  std::string certificate_key;
  /// Allow listening without TLS on an address that other machines can reach.
  bool insecure_http = false;
  /// File of the access log; "-": standard output; empty: none.
  std::string access_log;
  server::webhook_options webhook;
  /// Only check and show the settings.
  bool check_only = false;
  std::uint64_t most_lines = 50'000;
  std::uint64_t most_batch_bytes = std::uint64_t{200} << 20;
  std::uint64_t most_file_bytes = std::uint64_t{512} << 20;
  std::size_t batches_at_once = 16;
};

/// The flag table of `sluice serve`. Each entry writes into `target`, which must outlive it.
std::vector<setting> serve_flags(serve_settings& target);

/// The options of the server according to the settings. Throws fatal_error if the settings
/// contradict each other or contain no valid address.
server::batch_server_options server_options_of(const serve_settings& chosen);

}  // namespace sluice::cli
