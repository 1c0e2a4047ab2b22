#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "account/site_units.hpp"
#include "sluice/money.hpp"

namespace sluice::account {

/// One call that a relay has billed. nullopt: the relay does not report it.
struct usage_log_row {
  std::optional<std::int64_t> time;  ///< seconds since the epoch
  std::string model;                 ///< the model that was requested
  std::optional<std::int64_t> prompt_tokens;
  std::optional<std::int64_t> completion_tokens;
  std::optional<usd> cost;
  std::optional<double> seconds;
  std::optional<bool> streamed;
  /// The other model that served the call, if the relay says so.
  std::optional<std::string> served_model;
};

/// Reads GET /api/log/token, or a page of /api/log/self, of one-api and new-api: the rows about
/// consumption, in the relay's order. nullopt: the body is not a log.
std::optional<std::vector<usage_log_row>> read_usage_log(std::string_view body,
                                                         const site_units& units);

}  // namespace sluice::account
