#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cli/settings/run_settings.hpp"
#include "http/http_client.hpp"
#include "simulator/bill.hpp"
#include "sluice/clock.hpp"
#include "terminal/exit_status.hpp"
#include "upstream/relay_inquiry.hpp"

namespace sluice::cli {

/// What a command that asks relays something can be told.
struct inquiry_settings {
  inquiry_settings();

  run_settings run;
  std::string relay;  ///< the only member of the pool to ask; empty: all
  bool json = false;
  std::optional<simulator::usd> simulated_balance = {};  ///< nothing: no end of it
};

/// The flags that all such commands have, and those of `run` that are named besides; what else
/// `run` can be told stands in the config file.
std::vector<setting> inquiry_flags(inquiry_settings& target,
                                   const std::set<std::string>& more = {});

/// The members to ask, with keys and proxies; `simulated`: there are none to be had. Throws
/// fatal_error when a setting cannot be used.
std::vector<relay_member> find_members(inquiry_settings& chosen, bool simulated);

/// What one relay told, in both forms that a command may print, or why it did not.
struct relay_told {
  relay_told() = default;
  relay_told(const relay_told&) = delete;
  relay_told& operator=(const relay_told&) = delete;

  std::optional<nlohmann::ordered_json> document = {};  ///< nothing: it did not tell
  std::string lines = {};                               ///< as they may be shown
  std::string why_not = {};                             ///< one sentence
  exchange_end::how end = exchange_end::how::complete;  ///< of the last exchange
};

using question = std::function<boost::asio::awaitable<void>(relay_inquiry&, const clock&,
                                                            const relay_member&, relay_told& told)>;

/// Puts the question to one relay after another and prints what they told: the one document, or
/// `{"relays":{NAME:…}}` of a pool, where a member that did not tell has an `error`. Nothing is
/// printed when none did. Throws fatal_error when a setting cannot be used.
/// `prepare` is called before, once the settings say where the relays are and with which keys.
exit_status ask_relays(inquiry_settings& chosen, const question& put,
                       const std::function<void()>& prepare = {});

}  // namespace sluice::cli
