#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sluice/clock.hpp"
#include "sluice/money.hpp"
#include "sluice/usage.hpp"

namespace sluice::bench {

/// One request of a load, moment by moment, as the client saw it. Nothing where a moment never
/// came.
struct measurement {
  std::string id;
  std::string model;          ///< as the request names it
  double started_unix = 0;    ///< of `granted`
  time_point wanted{};        ///< the load asked for it
  time_point granted{};       ///< the limit let it start
  duration waited_for_cap{};  ///< in between, for sluice's own limit; not for pauses of the relay
  bool connected_anew = false;
  std::optional<time_point> sending;      ///< a connection was there, the first byte about to go
  std::optional<time_point> head;         ///< of the reply
  std::optional<time_point> first_piece;  ///< of content, reasoning, refusal or a tool call
  std::optional<time_point> first_content;
  std::optional<time_point> last_piece;
  bool thought_aloud = false;  ///< pieces of its reasoning came
  time_point ended{};          ///< the last byte that was needed came, or it failed

  std::string error;       ///< of a failure: its status or code; empty: it succeeded
  std::string message;     ///< of a failure
  std::string request_id;  ///< the relay's; empty: none
  std::optional<token_usage> usage;
  bool estimated = false;  ///< the usage was counted here
  std::optional<usd> cost;
};

}  // namespace sluice::bench
