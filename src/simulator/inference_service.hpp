// How the relay answers an inference call that its limit admits, and what it charges, including
// cheats. Sockets, rate limits and the balances of keys are in relay.cpp and ledger.hpp.
//
//   auto understood = service.understand(endpoint::chat, body, number);
//   … if it is an api_error, that is the reply, and nothing is charged …
//   const auto outcome = service.serve(request, fault, created, request_id);
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "simulator/bill.hpp"
#include "simulator/deal.hpp"
#include "simulator/inference_request.hpp"
#include "simulator/options.hpp"
#include "simulator/script.hpp"

namespace sluice::simulator {

/// Answers inference calls. Not thread safe: it reads all bodies with one parser.
class inference_service {
 public:
  explicit inference_service(const options& settings);

  /// The models that the relay sells, and their prices.
  static const price_list& prices();

  /// Parses call `number`. An error if it is malformed or the relay does not have the model.
  std::variant<inference_request, api_error> understand(endpoint to, std::string_view body,
                                                        std::uint64_t number);
  /// The highest possible charge: the prompt and the longest reply that the body allows.
  usd worst_cost(const inference_request& request, std::int64_t unix_seconds) const;
  /// The refusal of a request that is too long for the model.
  static std::optional<api_error> refusal_of(const inference_request& request);

  /// A reply, changed by its fault. `usage` and `cost` count only if `reply.billed`.
  struct outcome {
    script reply;
    token_usage usage;
    usd cost;
  };
  outcome serve(const inference_request& request, fault_kind fault, std::int64_t created,
                std::string_view request_id) const;

 private:
  int mean_tokens_;
  deal deal_;
  request_reader reader_;
};

}  // namespace sluice::simulator
