#include "loadtest/spending.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "money/cost_bound.hpp"
#include "sluice/error.hpp"

namespace sluice::bench {

spending::spending(const relay_prices& prices, std::optional<usd> limit,
                   std::optional<std::int64_t> assume_max_tokens)
    : prices_(prices), limit_(limit), assume_max_tokens_(assume_max_tokens) {
  if (limit) money_.emplace(*limit);
}

usd spending::bound(std::string_view relay, const request& asked) const {
  const auto refuse = [](const std::string& sentence) {
    throw fatal_error(fatal_error::kind::cannot_start, sentence);
  };
  usd most;
  for (const std::string& model : named_models(asked)) {
    const bool renamed = prices_.is_renamed(model);
    const auto price = prices_.find(relay, model, asked.target);
    if (!price) {
      refuse(
          fmt::format("model {} has no price for {}, and --budget needs one; give it with --prices",
                      model, to_string(asked.target)));
    }
    auto tokens =
        bound_tokens(asked, renamed ? "" : model, prices_.limits(model).output, assume_max_tokens_);
    if (!tokens) {
      refuse(fmt::format("request {} {}; under --budget, give it max_tokens as a whole number",
                         asked.custom_id, tokens.error()));
    }
    if (!renamed) tokens->prompt = bound_prompt(asked, tokens->prompt);
    most = std::max(most, tokens->cost(*price));
  }
  return most;
}

void spending::check(std::string_view relay, const request& asked) const {
  if (money_) bound(relay, asked);
}

funds spending::reserve(std::string_view relay, request& asked) {
  if (!money_) return funds::reserved;
  asked.most = bound(relay, asked);
  asked.model_in_doubt = named_models(asked).size() > 1;
  return money_->reserve(asked.most);
}

void spending::give_back(const request& asked) {
  if (!money_) return;
  money_->give_back(asked.most);
  freed_.wake_all();
}

void spending::settle(const request& asked, const std::optional<usd>& cost) {
  if (!money_) return;
  money_->settle(asked.most, asked.model_in_doubt ? asked.most : cost.value_or(asked.most));
  freed_.wake_all();
}

std::optional<usd> spending::cost(std::string_view relay, const request& asked,
                                  const token_usage& used) const {
  const auto price = prices_.find(relay, asked.model, asked.target);
  return price ? std::optional(price->cost(used)) : std::nullopt;
}

}  // namespace sluice::bench
