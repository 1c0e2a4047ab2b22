#include "probe/claim.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "tokens/prompt_tokens.hpp"

namespace sluice::probe {
namespace {

bool reasons(std::string_view model) {
  model.remove_prefix(model.rfind('/') + 1);
  constexpr std::array<std::string_view, 5> families{"o1", "o3", "o4", "gpt-5", "gpt-6"};
  return model.find("chat") == std::string_view::npos &&
         std::any_of(families.begin(), families.end(),
                     [&](std::string_view family) { return model.starts_with(family); });
}

}  // namespace

std::optional<claim> claim_of(const std::string& model, const std::string& relay,
                              const relay_prices& prices, std::string_view tier) {
  const auto price = prices.find(relay, model, endpoint::chat_completions);
  constexpr std::int64_t longest_prompt = 100'000;  // tokens; no question of the probe has as many
  const auto dearest = price == nullptr
                           ? std::nullopt
                           : price->dearest(longest_prompt, endpoint::chat_completions, tier);
  if (!dearest) return std::nullopt;
  claim made;
  made.model = model;
  made.price = *price;
  made.highest = *dearest;
  made.tokens = vocabulary_of(model);
  made.reasons = reasons(model);
  const model_limits limits = prices.limits(model);
  made.context_limit = limits.input;
  made.output_limit = limits.output;
  return made;
}

}  // namespace sluice::probe
