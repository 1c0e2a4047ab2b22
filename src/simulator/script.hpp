// What the relay does about one call: the bytes it sends, where they break off, and what of it is
// billed. Pure; the relay plays it on a socket.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/fault_plan.hpp"
#include "simulator/inference_request.hpp"
#include "simulator/reply.hpp"

namespace sluice::simulator {

/// What becomes of the connection after the bytes of a script.
enum class ending {
  whole,    ///< the reply is finished, the connection stays
  closed,   ///< closed although more was announced
  reset,    ///< torn down with a TCP reset
  silence,  ///< held open, and nothing more comes
};

struct script {
  int status = 200;
  std::string_view content_type = "application/json";
  std::string extra_headers;  ///< whole lines, each with its end

  std::string body;
  /// A stream: where in `body` each timed part ends. Empty: the body comes at once.
  std::vector<std::size_t> steps;
  /// How many tokens' time goes by before the body, or the first part of it.
  std::uint64_t tokens_before = 0;
  /// The length that the head announces for a body that comes at once.
  std::size_t announced = 0;
  /// Whether the time to the first token goes by before anything is sent.
  bool thinks = false;
  bool sends_nothing = false;  ///< not even a head
  bool ragged = false;         ///< in small pieces that split lines and characters
  ending end = ending::whole;

  bool billed = false;
  bool delivered = false;    ///< once all of it is written
  std::string_view outcome;  ///< for the ledger
};

/// The text of an HTTP status line after the number, and the number as the ledger writes it.
std::string_view reason_of(int status);
std::string_view outcome_of(int status);

script json_reply(int status, std::string body);
script html_reply(int status);

/// An error in the relay's envelope; its message ends with the id of the call.
script error_reply(const api_error& error, std::string_view request_id);

/// The reply to an inference call that was let through, spoilt by the fault.
script reply_script(const inference_request& request, const answer& answer, envelope envelope,
                    fault_kind fault, std::string_view request_id);

}  // namespace sluice::simulator
