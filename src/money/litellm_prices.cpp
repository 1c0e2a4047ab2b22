#include "money/litellm_prices.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "money/price_fields.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

constexpr std::string_view input_cost = "input_cost_per_token";
constexpr std::string_view output_cost = "output_cost_per_token";

// The fields of rates, without suffixes: each name with its kind of token.
constexpr std::array<std::pair<std::string_view, token_kind>, 8> rate_fields = {{
    {input_cost, token_kind::input},
    {output_cost, token_kind::output},
    {"cache_read_input_token_cost", token_kind::cached_input},
    {"cache_creation_input_token_cost", token_kind::cache_write},
    {"input_cost_per_audio_token", token_kind::audio_input},
    {"output_cost_per_audio_token", token_kind::audio_output},
    {"input_cost_per_image_token", token_kind::image_input},
    {"output_cost_per_image_token", token_kind::image_output},
}};

// Fees for searches and tools. A request that uses these has no cost bound anyway.
constexpr std::array<std::string_view, 6> fees = {
    "search_context_cost_per_query",    "code_interpreter_cost_per_session",
    "file_search_cost_per_1k_calls",    "file_search_cost_per_gb_per_day",
    "vector_store_cost_per_gb_per_day", "computer_use_input_cost_per_1k_tokens"};

bool take_suffix(std::string_view& name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return false;
  name.remove_suffix(suffix.size());
  return true;
}

// The meaning of a rate field such as "input_cost_per_token_above_200k_tokens_priority".
struct rate_field {
  token_kind kind = token_kind::input;
  std::int64_t above = 0;  // prompt tokens above which it applies; 0: always
  std::string_view tier;   // empty: standard
};

std::optional<rate_field> parse_rate_field(std::string_view name) {
  rate_field field;
  if (take_suffix(name, "_flex"))
    field.tier = "flex";
  else if (take_suffix(name, "_priority"))
    field.tier = "priority";
  else if (take_suffix(name, "_batches"))
    field.tier = "batch";
  constexpr std::string_view above = "_above_";
  if (take_suffix(name, "k_tokens")) {
    const std::size_t at = name.rfind(above);
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view digits = name.substr(at + above.size());
    const auto [stop, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), field.above);
    constexpr std::int64_t most = 1'000'000'000;
    if (error != std::errc{} || stop != digits.data() + digits.size() || field.above <= 0 ||
        field.above > most)
      return std::nullopt;
    field.above *= 1000;
    name = name.substr(0, at);
  }
  const bool for_an_hour = take_suffix(name, "_above_1hr");
  const auto found = std::find_if(rate_fields.begin(), rate_fields.end(),
                                  [&](const auto& row) { return row.first == name; });
  if (found == rate_fields.end()) return std::nullopt;
  field.kind = found->second;
  if (for_an_hour) {
    if (field.kind != token_kind::cache_write) return std::nullopt;
    field.kind = token_kind::cache_write_1h;
  }
  return field;
}

// The rates of the card for prompts of more than `above` tokens.
token_rates& rates_above(rate_card& card, std::int64_t above) {
  if (above == 0) return card.base;
  auto at = std::lower_bound(
      card.steps.begin(), card.steps.end(), above,
      [](const rate_card::step& step, std::int64_t tokens) { return step.above < tokens; });
  if (at == card.steps.end() || at->above != above) at = card.steps.insert(at, {above, {}});
  return at->rates;
}

// One entry of the document.
class litellm_entry {
 public:
  litellm_entry(std::string_view model, const json_object& fields, std::string_view origin)
      : model_(model), fields_(fields), origin_(origin) {}

  std::optional<model_prices> price() const {
    const auto input = usd_field(input_cost);
    const auto output = usd_field(output_cost);
    if (!input || !is_of_text()) return std::nullopt;
    model_prices prices;
    for (const json_member& member : fields_) {
      const std::string name = member_name(member);
      if (name.find("cost") == std::string::npos || !fields_.has_value(name) ||
          std::find(fees.begin(), fees.end(), name) != fees.end())
        continue;
      // If reasoning costs the same as output, no rate is needed. Otherwise the price is not
      // understood.
      if (name == "output_cost_per_reasoning_token" && usd_field(name) == output) continue;
      const auto field = parse_rate_field(name);
      if (!field) {
        if (prices.not_understood.empty()) prices.not_understood = name;
        continue;
      }
      rate_card& card =
          field->tier.empty() ? prices.standard : prices.tiers[std::string(field->tier)].own;
      rates_above(card, field->above)[field->kind] = usd_field(name);
    }
    if (*input == usd{} && output.value_or(usd{}) == usd{}) return std::nullopt;
    return prices;
  }

  model_limits limits() const {
    auto output = count_field(fields_, "max_output_tokens");
    if (!output) output = count_field(fields_, "max_tokens");
    return {count_field(fields_, "max_input_tokens"), output};
  }

 private:
  std::optional<usd> usd_field(std::string_view name) const {
    const auto text = number_text(fields_, name);
    if (!text) return std::nullopt;
    const auto number = parse_json_number(*text);
    const auto price = number ? sane_price(rounded_up_product({&*number, 1})) : std::nullopt;
    if (!price) {
      throw fatal_error(fatal_error::kind::cannot_start,
                        fmt::format("{}: \"{}\" of {} is {}, which is no price in USD per token",
                                    origin_, name, model_, *text));
    }
    return price;
  }

  // Whether the model is for the endpoints that a job may name.
  bool is_of_text() const {
    constexpr std::array<std::string_view, 4> modes = {"chat", "completion", "responses",
                                                       "embedding"};
    if (!fields_.has_value("mode")) return true;
    const auto named = fields_.text("mode");
    return named && std::find(modes.begin(), modes.end(), *named) != modes.end();
  }

  std::string_view model_;
  const json_object& fields_;
  std::string_view origin_;
};

}  // namespace

bool is_litellm_prices(const json_object& models) {
  return std::any_of(models.begin(), models.end(), [](const json_member& model) {
    return json_object(model.value).has(input_cost);
  });
}

price_table read_litellm_prices(const json_object& models, std::string_view origin) {
  price_table table;
  for (const json_member& model : models) {
    const std::string name = member_name(model);
    if (name == "sample_spec") continue;
    const json_object fields(model.value);
    const bool of_own_form = !fields.has(input_cost) && fields.has("input");
    if (!fields.is_object() || of_own_form) {
      throw fatal_error(
          fatal_error::kind::cannot_start,
          fmt::format("{}: the entry of {} is not of the form of the others, litellm's; give it "
                      "\"{}\" and \"{}\", or put it into another file",
                      origin, name, input_cost, output_cost));
    }
    const litellm_entry entry(name, fields, origin);
    table.set(name, entry.price(), entry.limits());
  }
  return table;
}

}  // namespace sluice
