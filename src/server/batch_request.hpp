#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "server/api_error.hpp"
#include "sluice/endpoint.hpp"

namespace sluice::server {

/// The body of POST /v1/batches.
struct batch_request {
  std::string input_file_id;
  endpoint target = endpoint::chat_completions;
  std::string completion_window;  ///< as it was given: "24h"
  std::int64_t window_s = 0;      ///< the same in seconds
  std::map<std::string, std::string> metadata;
  bool has_metadata = false;
  std::optional<std::int64_t> output_expires_after_s;
  int priority = 0;  ///< a field of this server only: batches with a higher priority start first
};

/// Reads the body. Besides OpenAI's "24h", a window may be any whole number of hours ("72h") or
/// days ("7d"), up to 30 days. Pure.
std::variant<batch_request, api_error> read_batch_request(std::string_view body);

}  // namespace sluice::server
