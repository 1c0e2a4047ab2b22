// One call to a relay and its reply, without a socket: for trials of many thousands.
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
  /// A part of the body, and how long after the request it came.
  struct part {
    std::chrono::nanoseconds after{0};
    std::string text;
  };

  int status = 200;
  std::string content_type;
  std::vector<part> parts;  ///< of a stream one for each token or more; otherwise a single one

  // What was charged; nothing for a refusal.
  token_usage usage;
  usd cost;

  std::string body() const;
};

/// What the relay of those options answers to the call of that number, to a key without limit and
/// with money enough, when no fault strikes. The same, but for ids and times, as it would send.
exchange exchange_with(inference_service& service, const options& settings, endpoint to,
                       std::string_view body, std::uint64_t number);

}  // namespace sluice::simulator
