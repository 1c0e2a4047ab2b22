#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cli/settings/prepared_relays.hpp"
#include "cli/settings/run_settings.hpp"
#include "http/http_client.hpp"
#include "simulator/bill.hpp"
#include "simulator/options.hpp"
#include "sluice/clock.hpp"
#include "terminal/exit_status.hpp"
#include "upstream/relay_inquiry.hpp"

namespace sluice::cli {

/// The settings of a command that talks to relays without a job: models, quota, probe, bench.
struct query_settings {
  query_settings();

  run_settings run;
  bool json = false;
  /// Balance of the simulated key; nullopt: no limit.
  std::optional<simulator::usd> simulated_balance = {};
  /// Which prompts the simulated relay reads from its cache.
  simulator::prompt_cache simulated_cache = simulator::prompt_cache::by_text;
};

/// The flags that all such commands have, and those flags of `run` that `more` names. The config
/// file may still contain all settings of `run`.
std::vector<setting> query_flags(query_settings& target, const std::set<std::string>& more = {});

/// What such a command needs from prepared_relays.
relay_needs needs_of(const query_settings& chosen, relay_use use);

/// The answer of one relay, in both forms that a command may print, or the reason why there is
/// none.
struct relay_reply {
  relay_reply() = default;
  relay_reply(const relay_reply&) = delete;
  relay_reply& operator=(const relay_reply&) = delete;

  /// nullopt: there is no answer.
  std::optional<nlohmann::ordered_json> document = {};
  /// The answer as text that is safe to show.
  std::string lines = {};
  /// Why there is no answer, as one sentence.
  std::string why_not = {};
  /// How the last exchange ended.
  exchange_end::how end = exchange_end::how::complete;
};

using relay_query = std::function<boost::asio::awaitable<void>(
    relay_inquiry&, const clock&, const relay_member&, relay_reply& reply)>;

/// Sends the query to one relay after the other and prints the answers: the only document, or
/// `{"relays":{NAME:…}}` for a pool, where a member without an answer has an `error`. Prints
/// nothing if no relay answered. `prepare` is called before the first query. Throws fatal_error if
/// a setting cannot be used.
exit_status query_relays(query_settings& chosen, const relay_query& query,
                         const std::function<void(prepared_relays&)>& prepare = {});

}  // namespace sluice::cli
