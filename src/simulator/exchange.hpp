// One call to a relay and its reply, without a socket: for tests with many thousands of calls.
//
//   inference_service service(options);
//   const auto reply = exchange_with(service, options, endpoint::chat, body, number);
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/bill.hpp"
#include "simulator/inference_request.hpp"
#include "simulator/inference_service.hpp"
#include "simulator/options.hpp"

namespace sluice::simulator {

struct exchange {
  /// A part of the body, and its delay after the request.
  struct part {
    std::chrono::nanoseconds after{0};
    std::string text;
  };

  int status = 200;
  std::string content_type;
  /// For a stream, one part per token or group of tokens; otherwise a single part.
  std::vector<part> parts;

  // What was charged; zero for a refusal.
  token_usage usage;
  usd cost;

  std::string body() const;
};

/// The reply of a relay with these options to call `number`, for a key without limit and with
/// enough money, and without faults. Equal to what the relay would send, except for ids and times.
/// `unix_time`: arrival time of the call, on which its price may depend.
exchange exchange_with(inference_service& service, const options& settings, endpoint to,
                       std::string_view body, std::uint64_t number, std::int64_t unix_time = 0);

}  // namespace sluice::simulator
