#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/screen/screen.hpp"
#include "cli/settings/run_settings.hpp"
#include "simulator/relay.hpp"
#include "sluice/config.hpp"
#include "sluice/prices.hpp"

namespace sluice::cli {

/// How a command uses its relays.
enum class relay_use : std::uint8_t {
  send,         ///< sends requests under the shared rate limit: run, probe, bench
  ask,          ///< sends a few requests that no rate limit counts: models, quota
  price_lists,  ///< requests price lists, if --prices is `relay`: check, report
};

/// What a command needs from prepared_relays.
struct relay_needs {
  relay_use use = relay_use::send;
  /// Check the settings of jobs and pace as well, not only those of the relays.
  bool check_all = false;
  /// Balance of the simulated key; nullopt: no limit.
  std::optional<simulator::usd> simulated_balance = {};
  simulator::prompt_cache simulated_cache = simulator::prompt_cache::by_text;
};

/// The relays of a command, from its settings to the point where they can be used. For one thread.
///
/// The constructor goes through the same steps for every command:
/// 1. start the simulator, if one is selected; it needs no key, no proxy and no shared window;
/// 2. choose the relay that --relay names;
/// 3. read the API keys;
/// 4. check the settings;
/// 5. set the heading of the screen, which names each host that gets a key;
/// 6. find the proxies;
/// 7. find the folder of the rate limit window that all runs of this user share;
/// 8. warn about keys that are sent without encryption. Prices come last, with prices(), because
///    this may send a request to a relay.
class prepared_relays {
 public:
  /// Completes the engine settings of `chosen`, which must outlive this object, as must `shown`.
  /// Throws fatal_error if a setting cannot be used.
  prepared_relays(run_settings& chosen, screen& shown, const relay_needs& needs);

  bool simulated() const noexcept { return simulator_ != nullptr; }
  /// What the simulator received and billed, for the end of a rehearsal.
  std::string simulated_ledger() const { return simulator_->ledger_summary(); }
  const std::vector<relay_member>& members() const noexcept { return members_; }

  /// The prices of every relay (load_prices()). Requests them from the relays if the settings say
  /// so. Throws fatal_error.
  relay_prices prices();
  /// Shows the heading now if a config file chose the relays, so that the user sees their names
  /// even if none of them answers. Call it before the first relay gets its key.
  void show_hosts();

 private:
  run_settings& chosen_;
  screen& screen_;
  std::unique_ptr<simulator::relay> simulator_;
  std::vector<relay_member> members_;
};

}  // namespace sluice::cli
