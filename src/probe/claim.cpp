#include "probe/claim.hpp"

#include <string_view>

#include "tokens/prompt_tokens.hpp"

namespace sluice::probe {
namespace {

// A "chat" variant of a family does not reason.
bool reasons(std::string_view model) {
  const std::string_view name = model.substr(model.rfind('/') + 1);
  if (name.find("chat") != std::string_view::npos) return false;
  // The vocabulary of this family is not public, so the list of may_reason() does not have it.
  return may_reason(model) || name.starts_with("gpt-6");
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

bool is_same_model(std::string_view reported, std::string_view requested) {
  const auto bare = [](std::string_view name) { return name.substr(name.rfind('/') + 1); };
  const std::string_view a = bare(reported);
  const std::string_view b = bare(requested);
  if (!a.starts_with(b)) return false;
  const std::string_view rest = a.substr(b.size());
  return rest.empty() || (rest.front() == '-' && rest.size() > 4 &&
                          rest.find_first_not_of("-0123456789") == std::string_view::npos);
}

}  // namespace sluice::probe
