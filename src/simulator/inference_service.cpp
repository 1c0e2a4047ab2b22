#include "simulator/inference_service.hpp"

#include <limits>
#include <utility>

#include "money/price_data.hpp"
#include "simulator/model_limits.hpp"
#include "simulator/random.hpp"

namespace sluice::simulator {
namespace {

envelope new_envelope(const inference_request& request, std::int64_t created) {
  static constexpr std::string_view alphabet =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  random letters(mix(request.digest, request.number));
  envelope made;
  for (int count = 0; count < 29; ++count)
    made.id += alphabet[letters.below(static_cast<std::uint32_t>(alphabet.size()))];
  made.created = created;
  return made;
}

/// Makes a stream arrive all at once, at the time of its last part.
void hold_back(script& reply) {
  if (reply.steps.size() < 2) return;
  reply.tokens_before = reply.steps.size() - 1;
  reply.steps = {reply.steps.back()};
}

/// The list price of this usage, as it is reported: a long prompt may have other rates.
price price_of(const inference_request& request, const token_usage& reported,
               std::int64_t unix_seconds) {
  return inference_service::prices()
      .at(request.model, reported.prompt, unix_seconds)
      .value_or(price{});
}

}  // namespace

inference_service::inference_service(const options& settings)
    : mean_tokens_(settings.tokens), deal_(settings.cheat, settings.seed), reader_(settings) {}

const price_list& inference_service::prices() {
  static const price_list list(price_table_json());
  return list;
}

std::optional<api_error> inference_service::refusal_of(const inference_request& request) {
  static const model_limits limits(price_table_json());
  return limits.refusal_of(request);
}

std::variant<inference_request, api_error> inference_service::understand(endpoint to,
                                                                         std::string_view body,
                                                                         std::uint64_t number) {
  auto understood = reader_.read(to, body, number);
  const auto* request = std::get_if<inference_request>(&understood);
  if (request == nullptr || prices().find(request->model) != nullptr ||
      (to == endpoint::embeddings && request->model.find("embedding") != std::string::npos))
    return understood;
  return api_error{
      404, "The model `" + request->model + "` does not exist or you do not have access to it.",
      "model_not_found"};
}

usd inference_service::worst_cost(const inference_request& request,
                                  std::int64_t unix_seconds) const {
  std::uint64_t most = 0;
  if (__builtin_mul_overflow(request.max_tokens.value_or(0), request.choices, &most))
    most = std::numeric_limits<std::uint64_t>::max();
  const auto usage = deal_.reported({request.prompt_tokens, 0, most, 0});
  return deal_.charged(cost_of(usage, price_of(request, usage, unix_seconds)));
}

inference_service::outcome inference_service::serve(const inference_request& request,
                                                    fault_kind fault, std::int64_t created,
                                                    std::string_view request_id) const {
  auto answer =
      compose(fault == fault_kind::malformed ? misunderstood(request) : request, mean_tokens_);
  answer.usage = deal_.reported(answer.usage);
  auto reply = reply_script(request, answer, new_envelope(request, created), fault, request_id);
  if (deal_.streams_at_the_end()) hold_back(reply);
  return {
      std::move(reply), answer.usage,
      deal_.charged(cost_of(answer.usage, deal_.rates(price_of(request, answer.usage, created))))};
}

}  // namespace sluice::simulator
