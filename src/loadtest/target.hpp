#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "http/http_client.hpp"
#include "loadtest/request_supply.hpp"
#include "loadtest/target_cutoff.hpp"
#include "sluice/config.hpp"
#include "sluice/job.hpp"
#include "sluice/money.hpp"
#include "sluice/observer.hpp"
#include "upstream/attempt.hpp"
#include "upstream/secrets.hpp"
#include "upstream/start_gate.hpp"
#include "upstream/token_estimate.hpp"

namespace sluice::bench {

/// A relay that is measured, for as long as the benchmark goes on. What it refers to outlives it.
/// Belongs to the event loop's thread.
struct target {
  target(const relay_member& chosen, unsigned own_cap, http_client& used, start_gate& limit,
         request_supply& source)
      : member(chosen),
        cap(own_cap),
        capped(own_cap != 0),
        client(used),
        gate(limit),
        supply(source),
        hidden(chosen.relay) {}

  /// An attempt at the request, at this target. `watch` may be null.
  attempt begin(clock& time, start_gate::permit turn, const request& asked,
                attempt_observer* watch) const;
  /// Sends the request by an attempt of begin(): under the model's name at this relay, and with the
  /// keys redacted from what comes back. The request and the key outlive it.
  boost::asio::awaitable<attempt_outcome> send(attempt& by, const request& asked,
                                               const std::string& key);

  const relay_member& member;
  const unsigned cap;   ///< starts a minute that sluice allows itself; 0: no limit
  bool capped = false;  ///< there is a limit of starts or of tokens
  http_client& client;
  start_gate& gate;
  request_supply& supply;
  const secrets hidden;
  observer* seen_by = nullptr;  ///< hears of what failed; may be null
  target_cutoff cutoff;
  token_estimate tokens;
  int pause_status = 0;    ///< HTTP status of the answer that last paused it; 0: none did
  duration pause_asked{};  ///< the wait that this answer asked for
  /// Why nothing more is sent to it.
  std::optional<target_cutoff::stop> stopped;
  std::optional<usd> cost;     ///< of all that was sent, warm-ups included; nothing: no price
  std::uint64_t answered = 0;  ///< requests that got an answer of any kind
};

}  // namespace sluice::bench
