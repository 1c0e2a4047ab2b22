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
#include "sluice/prices.hpp"
#include "sluice/usage.hpp"

namespace sluice {

/// A complete reply, as it is stored in an output file.
struct reply {
  int http_status = 200;
  std::string request_id;
  /// One line of valid JSON (UTF-8, no raw newline): the whole object, even if it was streamed.
  std::string body;
  bool streamed = false;
  std::optional<token_usage> usage;  ///< as reported by the relay
  /// Counted here if the relay reports no usage and the model's tokenizer is known.
  std::optional<token_usage> estimated_usage = {};
  std::optional<usd> reported_cost;              ///< `usage.cost`, if the relay reports it
  std::optional<std::string> service_tier = {};  ///< the tier that served it, if reported
  std::string speed = {};          ///< `usage.speed`, as Anthropic reports it; empty: not reported
  std::string inference_geo = {};  ///< `usage.inference_geo`, in the same way
  /// Number of choices by finish reason; for a response object, its `status`.
  std::map<std::string, std::uint64_t> finish_reasons;

  /// The facts on which its price depends, for an attempt between these Unix times in seconds.
  serving served(double started_unix, double ended_unix) const {
    return {service_tier.value_or(""), started_unix, ended_unix, speed, inference_geo};
  }
};

/// A complete reply that was billed but did not have the expected shape. Its request was sent
/// again, or has failed.
struct rejected_reply {
  std::string reason;  ///< in a few words
  std::string relay;   ///< the pool member that sent it; empty: there is only one relay
  std::optional<token_usage> usage;
  bool estimated = false;   ///< the usage was counted here
  std::optional<usd> cost;  ///< nothing: unknown
  std::optional<usd> reported_cost;
  /// What the provider's cache saved, minus what its writes cost; nothing: unknown.
  std::optional<usd> cache_saved = usd{};
  std::optional<std::string> service_tier;
  std::string speed = {};  ///< this and the next: as in a reply
  std::string inference_geo = {};
  double started_at = 0;  ///< start of its attempt, Unix time in seconds
  double latency_ms = 0;  ///< of its attempt, from its start to the last byte
};

/// The result of one request: one line of the output file or the errors file.
struct result {
  std::size_t job = 0;
  std::uint64_t line = 0;
  std::string custom_id;
  std::string relay;  ///< the pool member of the last attempt; empty: there is only one relay
  endpoint target = endpoint::chat_completions;
  std::string model;            ///< as named in the job; empty for a bad line
  bool model_in_doubt = false;  ///< copied from the request
  std::string digest;           ///< empty for a bad line
  std::uint32_t attempts = 0;   ///< in this and earlier runs
  bool streamed = false;        ///< the request asked for a stream
  double started_at = 0;        ///< start of the last attempt, Unix time in seconds
  double latency_ms = 0;        ///< last attempt: from its start to the last byte
  /// Last attempt: from its start to the first piece of content, reasoning, refusal or tool call.
  std::optional<double> ttft_ms;
  boost::system::result<reply, failure> outcome;
  bool retryable = false;  ///< a failure that a later run tries again
};

}  // namespace sluice
