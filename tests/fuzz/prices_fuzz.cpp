#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "fuzz/support.hpp"
#include "json/members.hpp"
#include "json/text.hpp"
#include "money/relay_pricing.hpp"
#include "sluice/error.hpp"
#include "sluice/prices.hpp"

namespace sluice::fuzz {
namespace {

constexpr endpoint endpoints[] = {endpoint::chat_completions, endpoint::completions,
                                  endpoint::embeddings, endpoint::responses};

/// Checks rules that hold for the price of every model in any table.
void check_model(const price_table& prices, std::string_view model) {
  const model_prices* listed = prices.listed(model);
  for (const endpoint target : endpoints) {
    const model_prices* price = prices.find(model, target);
    require((price != nullptr) == (listed != nullptr && listed->serves(target)),
            "a listed model is found", model);
    if (price == nullptr) continue;
    model_prices copy = *price;
    copy.each_rates([&](const token_rates& rates) {
      for (std::size_t i = 0; i < token_kinds; ++i) {
        const auto& rate = rates[static_cast<token_kind>(i)];
        require(!rate || (*rate >= usd{} && *rate <= price_table::dearest_token),
                "a rate is in range", model);
      }
    });
    constexpr std::int64_t most = std::int64_t{1} << 53;
    for (const char* tier : {"", "flex", "priority", "batch"}) {
      for (const double when : {1.7e9, 1.8e9}) {
        const token_usage usage{most, most / 2, target == endpoint::embeddings ? 0 : most, 0};
        const auto cost = price->cost(usage, {tier, when, when + 60}).cost;
        if (!cost) continue;
        require(usd::parse(cost->to_string()) == *cost, "a cost can be written and read again",
                model);
        const auto bound = price->dearest(most, target, tier);
        require(!bound || bound->prompt * usage.prompt_tokens +
                                  bound->completion * usage.completion_tokens >=
                              *cost,
                "a bound is not below a cost", model);
      }
    }
  }
  const model_limits limits = prices.limits(model);
  require(limits.input.value_or(1) > 0 && limits.output.value_or(1) > 0, "a limit is above zero");
}

void check_names(const price_table& prices, std::string_view text) {
  for (const json_member& member : json_members(text).value_or(std::vector<json_member>{})) {
    const std::string model = member_name(member);
    check_model(prices, model);
    const std::string far = "a/b/" + model;
    const bool short_enough = far.size() <= 256;
    require(!short_enough || prices.listed(far) == prices.listed(model) ||
                prices.listed("b/" + model) != prices.listed(model),
            "a provider before a name changes nothing", model);
  }
}

void check_file(std::string_view text, std::string_view factor) {
  price_table prices;
  model_prices own;
  own.standard.base[token_kind::input] = usd::from_units(1);
  own.standard.base[token_kind::output] = usd::from_units(4);
  prices.set("gpt-4o", own, {10, 20});
  try {
    prices.merge(text, "a file");
    check_names(prices, text);
    prices.multiply(factor);
    check_names(prices, text);
  } catch (const fatal_error& refused) {
    require(refused.why() == fatal_error::kind::cannot_start, "a bad price does not lose a result");
    require(is_one_line(refused.what()), "a refusal is one sentence", refused.what());
  }
  check_model(prices, "openai/gpt-4o-2024-08-06");
}

void check_relay(std::string_view text, const relay_pricing_options& options) {
  const auto pricing = read_relay_pricing(text, options);
  if (!pricing) {
    require(!pricing.error().empty() && is_one_line(pricing.error()), "an error is one sentence",
            pricing.error());
    return;
  }
  const std::size_t data = std::min(text.find("\"data\""), text.size());
  for (std::size_t at = text.find("\"model_name\":\"", data); at < text.size();) {
    at += std::string_view("\"model_name\":\"").size();
    check_model(pricing->prices, text.substr(at, text.find('"', at) - at));
    at = std::min(text.find("\"model_name\":\"", at), text.size());
  }
}

void check_numbers(std::string_view text) {
  const auto exact = usd::parse(text);
  const auto nearest = usd::nearest(text);
  require(!exact || nearest == exact, "an exact number is its own nearest one", text);
  if (nearest) require(*nearest >= usd{}, "a number is not negative", text);
}

}  // namespace
}  // namespace sluice::fuzz

/// The text is used as a price file, as a relay's answer, and as a number.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  using namespace sluice::fuzz;
  input in(data, size);
  constexpr std::string_view factors[] = {"1", "0.8", "0.000001", "1000"};
  constexpr std::string_view groups[] = {"default", "vip", ""};
  constexpr std::uint64_t quotas[] = {500'000, 3, 1};
  check_file(in.text(), factors[in.pick(4)]);
  check_relay(in.text(), {std::string(groups[in.pick(3)]), quotas[in.pick(3)]});
  check_numbers(in.text());
  return 0;
}
