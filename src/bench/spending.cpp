#include "bench/spending.hpp"

#include <fmt/format.h>

#include "cost_bound.hpp"
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
  const auto price = prices_.find(relay, asked.model, asked.target);
  if (!price) {
    refuse(
        fmt::format("model {} has no price for {}, and --budget needs one; give it with --prices",
                    asked.model, to_string(asked.target)));
  }
  auto tokens = bound_tokens(asked, prices_.limits(asked.model).output, assume_max_tokens_);
  if (!tokens) {
    refuse(fmt::format("request {} {}; under --budget, give it max_tokens as a whole number",
                       asked.custom_id, tokens.error()));
  }
  if (!prices_.is_renamed(asked.model)) tokens->prompt = bound_prompt(asked);
  return tokens->cost(*price);
}

void spending::check(std::string_view relay, const request& asked) const {
  if (money_) bound(relay, asked);
}

funds spending::reserve(std::string_view relay, request& asked) {
  if (!money_) return funds::reserved;
  asked.most = bound(relay, asked);
  return money_->reserve(asked.most);
}

void spending::give_back(const request& asked) {
  if (!money_) return;
  money_->give_back(asked.most);
  freed_.wake_all();
}

void spending::settle(const request& asked, const std::optional<usd>& cost) {
  if (!money_) return;
  money_->settle(asked.most, cost.value_or(asked.most));
  freed_.wake_all();
}

std::optional<usd> spending::cost(std::string_view relay, const request& asked,
                                  const token_usage& used) const {
  const auto price = prices_.find(relay, asked.model, asked.target);
  return price ? std::optional(price->cost(used)) : std::nullopt;
}

}  // namespace sluice::bench
