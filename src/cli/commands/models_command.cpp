#include "cli/commands/models_command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "account/model_list.hpp"
#include "base/printable.hpp"
#include "cli/relay_query.hpp"
#include "cli/screen/heading.hpp"
#include "sluice/prices.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;
using nlohmann::ordered_json;

constexpr std::int64_t million = 1'000'000;
constexpr const char* models_path = "/v1/models";

// Prices of one model. Cached input without its own price costs as much as input.
struct shown_price {
  std::optional<usd> input;
  std::optional<usd> cached_input;
  std::optional<usd> output;
};

std::optional<std::string> per_million(const std::optional<usd>& price) {
  if (!price) return std::nullopt;
  return (*price * million).to_string();
}

ordered_json or_null(const std::optional<usd>& price) {
  const auto text = per_million(price);
  return text ? ordered_json(*text) : ordered_json(nullptr);
}

using models = std::vector<account::offered_model>;

// The prices that a run charges for the models of one relay.
struct price_tag {
  const relay_prices& prices;
  const std::string& relay;
  shown_price of(const std::string& model) const {
    const model_prices* found = prices.listed(relay, model);
    if (found == nullptr) return {};
    const token_rates& rates = found->standard.base;
    const auto& input = rates[token_kind::input];
    const auto& cached = rates[token_kind::cached_input];
    return {input, cached ? cached : input, rates[token_kind::output]};
  }
};

ordered_json document_of(const models& offered, const price_tag& tag) {
  auto list = ordered_json::array();
  for (const auto& model : offered) {
    const auto price = tag.of(model.id);
    list.push_back(
        {{"id", model.id},
         {"owned_by", model.owned_by ? ordered_json(*model.owned_by) : ordered_json(nullptr)},
         {"input_usd_per_million", or_null(price.input)},
         {"cached_input_usd_per_million", or_null(price.cached_input)},
         {"output_usd_per_million", or_null(price.output)}});
  }
  return {{"models", std::move(list)}};
}

std::string lines_of(const models& offered, const price_tag& tag, const std::string& relay) {
  std::size_t width = std::string_view("model").size();
  for (const auto& model : offered) width = std::max(width, printable_text(model.id).size());
  const auto row = [width](std::string_view model, std::string_view input, std::string_view cached,
                           std::string_view output) {
    return fmt::format("{:<{}}  {:>9}  {:>9}  {:>9}\n", model, width, input, cached, output);
  };
  std::string lines = row("model", "input", "cached", "output");
  std::size_t unpriced = 0;
  for (const auto& model : offered) {
    const auto price = tag.of(model.id);
    if (!price.input) ++unpriced;
    lines +=
        row(printable_text(model.id), per_million(price.input).value_or("-"),
            per_million(price.cached_input).value_or("-"), per_million(price.output).value_or("-"));
  }
  lines += fmt::format("{} model(s) at {}, in USD per million tokens; prices of {}", offered.size(),
                       printable_text(relay), price_table::built_in_date());
  if (unpriced > 0) lines += fmt::format("; {} without a price: give one with --prices", unpriced);
  return lines + "\n";
}

asio::awaitable<void> ask_models(relay_inquiry& relay, const relay_member& member,
                                 const relay_prices& prices, relay_reply& reply) {
  const relay_answer answer = co_await relay.get(models_path);
  const auto offered = answer.succeeded() ? account::read_model_list(answer.body) : std::nullopt;
  reply.end = answer.end;
  if (offered) {
    const price_tag tag{prices, member.name};
    reply.document = document_of(*offered, tag);
    reply.lines = lines_of(*offered, tag, name_of(member));
  } else {
    reply.why_not = fmt::format("{} does not list its models: {}: {}; check --base-url and the key",
                                name_of(member), answer.url, said(answer));
  }
}

}  // namespace

command models_command() {
  auto chosen = std::make_shared<query_settings>();
  const auto flags = std::make_shared<settings>(
      query_flags(*chosen, {"prices", "price-multiplier", "price-group"}), run_tables(chosen->run));
  return {
      .name = "models",
      .summary = "List a relay's models, with the price that a run would charge",
      .description =
          "Prices come from the built-in table and from --prices, times --price-multiplier. With "
          "--prices relay they are the ones that the relay itself lists. With several [[relay]] "
          "tables in the config file, each relay is asked.",
      .common_flags = {"base-url", "api-key-file", "simulate", "relay", "prices", "price-group",
                       "price-multiplier", "json", "profile"},
      .exit_statuses = {{0, "listed"},
                        {1, "some of several relays did not answer"},
                        {2, "cannot start"},
                        {3, "no answer"},
                        {130, "interrupted"}},
      .examples = {"sluice models --simulate",
                   "OPENAI_API_KEY=... sluice models --base-url https://relay.example/v1",
                   "sluice models --prices relay --price-group default",
                   "sluice models --json --price-multiplier 0.8 | jq -r '.models[].id'"},
      .flags = flags,
      .run =
          [chosen, flags] {
            read_settings(*flags, chosen->run);
            relay_prices prices;
            return query_relays(
                *chosen,
                [&prices](relay_inquiry& relay, const clock&, const relay_member& member,
                          relay_reply& reply) { return ask_models(relay, member, prices, reply); },
                [&](prepared_relays& relays) { prices = relays.prices(); });
          },
  };
}

}  // namespace sluice::cli
