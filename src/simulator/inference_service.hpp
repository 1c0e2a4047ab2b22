// How the relay answers an inference call that it lets through, and what it charges: the decisions,
// apart from the socket that they are played on and from the limits and purses of keys. A deal that
// cheats is kept here.
//
//   auto understood = service.understand(endpoint::chat, body, number);
//   … if it is an api_error, that is the reply, free of charge …
//   const auto served = service.serve(request, fault, created, request_id);
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

/// Not thread-safe: it reads all bodies with one parser.
class inference_service {
 public:
  explicit inference_service(const options& settings);

  /// What the relay sells, each model at its price.
  static const price_list& prices();

  /// What is asked of a model that the relay has, by the call of that number.
  std::variant<inference_request, api_error> understand(endpoint to, std::string_view body,
                                                        std::uint64_t number);
  /// What the prompt and the most that the body allows would be charged.
  usd worst_cost(const inference_request& request) const;
  /// The refusal of what is too long for the model.
  static std::optional<api_error> refusal_of(const inference_request& request);

  /// A reply, spoilt by the fault; if the script is billed, then so is the usage, for the cost.
  struct served {
    script reply;
    token_usage usage;
    usd cost;
  };
  served serve(const inference_request& request, fault_kind fault, std::int64_t created,
               std::string_view request_id) const;

 private:
  int mean_tokens_;
  deal deal_;
  request_reader reader_;
};

}  // namespace sluice::simulator
