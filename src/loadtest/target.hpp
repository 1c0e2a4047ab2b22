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

/// A relay that is measured during a benchmark. All references must outlive it. Not thread safe:
/// use it on the event loop's thread.
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

  /// Creates an attempt at the request on this target. `watch` may be null.
  attempt begin(clock& time, start_gate::permit turn, const request& asked,
                attempt_observer* watch) const;
  /// Sends the request with an attempt of begin(). It uses the model's name at this relay, and
  /// redacts the keys in the result. The request and the key must outlive the call.
  boost::asio::awaitable<attempt_outcome> send(attempt& by, const request& asked,
                                               const std::string& key);

  const relay_member& member;
  const unsigned cap;   ///< maximum starts per minute that sluice allows; 0: no limit
  bool capped = false;  ///< there is a limit in starts or tokens
  http_client& client;
  start_gate& gate;
  request_supply& supply;
  const secrets hidden;
  observer* seen_by = nullptr;  ///< gets a notice of each failure; may be null
  target_cutoff cutoff;
  token_estimate tokens;
  int pause_status = 0;    ///< HTTP status of the answer that caused the last pause; 0: none
  duration pause_asked{};  ///< the wait that this answer asked for
  /// Set when nothing more is sent to it, with the reason.
  std::optional<target_cutoff::stop> stopped;
  /// The cost of all requests that were sent, including warm-ups; nullopt: no price.
  std::optional<usd> cost;
  std::uint64_t answered = 0;  ///< requests that got an answer of any kind
};

}  // namespace sluice::bench
