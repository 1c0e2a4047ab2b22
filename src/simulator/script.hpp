// What the relay does for one call: the bytes that it sends, where they stop, and whether the call
// is billed. Pure; the relay sends the script on a socket.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/fault_plan.hpp"
#include "simulator/inference_request.hpp"
#include "simulator/reply.hpp"

namespace sluice::simulator {

/// What happens to the connection after the bytes of a script.
enum class ending {
  whole,    ///< the reply is complete, and the connection can be used again
  closed,   ///< closed, although more bytes were announced
  reset,    ///< ended with a TCP reset
  silence,  ///< stays open without further bytes
};

struct script {
  int status = 200;
  std::string_view content_type = "application/json";
  std::string extra_headers;  ///< complete lines with their line ends

  std::string body;
  /// For a stream: the offsets in `body` where its timed parts end. Empty: the body is sent at
  /// once.
  std::vector<std::size_t> steps;
  /// The delay before the first part of the body, in tokens.
  std::uint64_t tokens_before = 0;
  /// The Content-Length of a body that is sent at once.
  std::size_t announced = 0;
  /// Whether the relay waits for the time to the first token before it sends anything.
  bool thinks = false;
  bool early_head = false;     ///< the head does not wait
  bool sends_nothing = false;  ///< not even a head
  bool ragged = false;         ///< sent in small pieces that split lines and characters
  ending end = ending::whole;

  /// How long the client should wait, as the reply says; 0: it says nothing.
  std::chrono::nanoseconds hint{0};
  bool billed = false;
  bool delivered = false;    ///< counts as delivered once all of it is written
  std::string_view outcome;  ///< its name in the ledger
};

/// The reason phrase of an HTTP status, and the status as the ledger writes it.
std::string_view reason_of(int status);
std::string_view outcome_of(int status);

script json_reply(int status, std::string body);
script html_reply(int status);

/// An error in the usual error object. Its message ends with the request id.
script error_reply(const api_error& error, std::string_view request_id);

/// The reply to an admitted inference call, changed by its fault.
script reply_script(const inference_request& request, const answer& answer, envelope envelope,
                    fault_kind fault, std::string_view request_id);

}  // namespace sluice::simulator
