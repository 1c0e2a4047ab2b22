#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "sluice/endpoint.hpp"
#include "sluice/error.hpp"
#include "sluice/job.hpp"
#include "sluice/money.hpp"
#include "sluice/usage.hpp"

namespace sluice {

/// A whole reply that stands in an output file.
struct reply {
  int http_status = 200;
  std::string request_id;
  std::string
      body;  ///< one line of valid JSON (UTF-8, no raw newline): the whole object, however it came
  bool streamed = false;
  std::optional<token_usage> usage;  ///< as the relay reports it
  /// As counted here, where the relay reports none and the model's vocabulary is known.
  std::optional<token_usage> estimated_usage = {};
  std::optional<usd> reported_cost;              ///< `usage.cost` where a relay gives one
  std::optional<std::string> service_tier = {};  ///< that served it, where the relay says
  std::map<std::string, std::uint64_t>
      finish_reasons;  ///< per choice; `status` of a response object
};

/// What became of one request: the content of one line of the output or of the errors file.
struct result {
  std::size_t job = 0;
  std::uint64_t line = 0;
  std::string custom_id;
  std::string relay;  ///< the pool's member that was asked last; empty: there is one relay
  endpoint target = endpoint::chat_completions;
  std::string model;            ///< as the job asked for it; empty for a bad line
  bool model_in_doubt = false;  ///< as of its request
  std::string digest;           ///< empty for a bad line
  std::uint32_t attempts = 0;   ///< over the life of the job
  bool streamed = false;        ///< a stream was asked for
  double started_at = 0;        ///< of the last attempt, in seconds since the epoch
  double latency_ms = 0;        ///< of the last attempt: from its start to the last byte
  std::optional<double>
      ttft_ms;  ///< from its start to the first content, reasoning, refusal or tool piece
  boost::system::result<reply, failure> outcome;
  bool retryable = false;  ///< of a failure: a later run tries it again
};

}  // namespace sluice
