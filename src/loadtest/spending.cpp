#include "loadtest/spending.hpp"

#include <fmt/format.h>

#include <utility>

#include "base/refuse.hpp"
#include "money/cost_bound.hpp"

namespace sluice::bench {

spending::spending(const relay_prices& prices, std::optional<usd> limit, std::string tier)
    : prices_(prices), defaults_{.tier = std::move(tier)}, limit_(limit) {
  if (limit) money_.emplace(*limit);
}

void spending::check(std::string_view relay, const request& asked) const {
  if (!money_) return;
  const auto bound = bound_cost(asked, prices_, relay, defaults_);
  if (!bound) refuse(fmt::format("request {}", asked.custom_id), bound.error().why);
}

funds spending::reserve(std::string_view relay, request& asked) {
  if (!money_) return funds::reserved;
  if (const auto without = set_cost_bound(asked, prices_, relay, defaults_)) {
    refuse(fmt::format("request {}", asked.custom_id), without->why);
  }
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

void spending::failed(const request& asked, attempt_end how) {
  keeps_reservation(how) ? settle(asked, std::nullopt) : give_back(asked);
}

std::optional<usd> spending::cost(std::string_view relay, const request& asked,
                                  const token_usage& used, const serving& how) const {
  const auto price = prices_.find(relay, asked.model, asked.target);
  return price != nullptr ? price->cost(used, how).cost : std::nullopt;
}

}  // namespace sluice::bench
