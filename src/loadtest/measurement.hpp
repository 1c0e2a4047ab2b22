#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sluice/clock.hpp"
#include "sluice/money.hpp"
#include "sluice/usage.hpp"

namespace sluice::bench {

/// How long a request waited for reasons of sluice's own, and not of the relay.
struct own_waits {
  duration for_cap{};     ///< for the limit; not in a pause of the relay
  duration for_budget{};  ///< until the budget covered its highest cost
};

/// One request of a load with its times, as the client saw them. nullopt: the event did not happen.
struct measurement {
  std::string id;
  std::string model;        ///< the model's name in the request
  double started_unix = 0;  ///< Unix time of `granted`
  time_point wanted{};      ///< when the load asked for it
  time_point granted{};     ///< when the limit let it start
  own_waits waited;         ///< the part of this wait that sluice itself caused
  bool connected_anew = false;
  std::optional<time_point> sending;      ///< connected, and about to send the first byte
  std::optional<time_point> head;         ///< the response head arrived
  std::optional<time_point> first_piece;  ///< first content, reasoning, refusal or tool call
  std::optional<time_point> first_content;
  std::optional<time_point> last_piece;
  bool thought_aloud = false;  ///< the reasoning was streamed too
  time_point ended{};          ///< the last needed byte arrived, or it failed

  std::string error;       ///< for a failure: its status or code; empty: it succeeded
  std::string message;     ///< for a failure
  std::string request_id;  ///< from the relay; empty: none
  std::optional<token_usage> usage;
  bool estimated = false;  ///< this program counted the usage
  std::optional<usd> cost;
};

}  // namespace sluice::bench
