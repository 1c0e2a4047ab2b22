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
#include "cli/inquiry.hpp"
#include "cli/settings/relay_setup.hpp"
#include "sluice/money.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;
using nlohmann::ordered_json;

constexpr std::int64_t million = 1'000'000;
constexpr const char* models_path = "/v1/models";

// What is not priced apart costs what the input does.
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

// What a run charges for the models of one relay.
struct price_tag {
  const relay_prices& prices;
  const std::string& relay;
  shown_price of(const std::string& model) const {
    const listed_price* found = prices.listed(relay, model);
    if (found == nullptr) return {};
    return {found->input, found->cached_input ? found->cached_input : found->input, found->output};
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
  lines += fmt::format("{} model(s) at {}, in USD per million tokens", offered.size(),
                       printable_text(relay));
  if (unpriced > 0) lines += fmt::format("; {} without a price: give one with --prices", unpriced);
  return lines + "\n";
}

asio::awaitable<void> ask_models(relay_inquiry& relay, const relay_member& member,
                                 const relay_prices& prices, relay_told& told) {
  const relay_answer answer = co_await relay.get(models_path);
  const auto offered = answer.succeeded() ? account::read_model_list(answer.body) : std::nullopt;
  told.end = answer.end;
  if (offered) {
    const price_tag tag{prices, member.name};
    told.document = document_of(*offered, tag);
    told.lines = lines_of(*offered, tag, name_of(member));
  } else {
    told.why_not = fmt::format("{} does not list its models: {}: {}; check --base-url and the key",
                               name_of(member), answer.url, said(answer));
  }
}

}  // namespace

void add_models_command(CLI::App& program, int& exit_status) {
  struct state {
    inquiry_settings chosen;
    settings flags{inquiry_flags(chosen, {"prices", "price-multiplier", "price-group"}),
                   run_tables(chosen.run)};
    std::string config;
  };
  auto kept = std::make_shared<state>();
  auto* command = program.add_subcommand(
      "models", "List a relay's models, with the price that a run would charge for each");
  command->add_option("--config", kept->config, "Config file (./sluice.toml)")->type_name("FILE");
  kept->flags.add_to(*command);
  command->footer(
      "The prices are those of the built-in table and of --prices, times --price-multiplier; what\n"
      "the relay itself says it charges with --prices relay. Of several [[relay]] tables each is\n"
      "asked, and told by its name.\n"
      "Exit status: 0 listed, 1 some relays of several did not list, 2 cannot start, 3 not "
      "listed.\n"
      "\n"
      "Examples:\n"
      "  sluice models --simulate\n"
      "  OPENAI_API_KEY=... sluice models --base-url https://relay.example/v1\n"
      "  sluice models --prices relay --price-group vip\n"
      "  sluice models --json --price-multiplier 0.8 | jq -r '.models[].id'");
  command->callback([kept, &exit_status] {
    read_settings(kept->flags, kept->config, kept->chosen.run);
    relay_prices prices;
    exit_status = ask_relays(
        kept->chosen,
        [&prices](relay_inquiry& relay, const clock&, const relay_member& member,
                  relay_told& told) { return ask_models(relay, member, prices, told); },
        [&] { prices = load_prices(kept->chosen.run); });
  });
}

}  // namespace sluice::cli
