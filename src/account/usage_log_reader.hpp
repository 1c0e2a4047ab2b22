#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "account/site_units.hpp"
#include "sluice/money.hpp"

namespace sluice::account {

/// One call that a relay has billed. What it does not tell is nothing.
struct usage_log_row {
  std::optional<std::int64_t> time;  ///< in seconds since the epoch
  std::string model;                 ///< as it was asked for
  std::optional<std::int64_t> prompt_tokens;
  std::optional<std::int64_t> completion_tokens;
  std::optional<usd> cost;
  std::optional<double> seconds;
  std::optional<bool> streamed;
  std::optional<std::string> served_model;  ///< that the relay admits to have put in its place
};

/// Reads GET /api/log/token, or a page of /api/log/self, of one-api and new-api: its rows of
/// consumption, as the relay orders them. Nothing when the body is no log.
std::optional<std::vector<usage_log_row>> read_usage_log(std::string_view body,
                                                         const site_units& units);

}  // namespace sluice::account
