#include "money/litellm_prices.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "money/price_fields.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

constexpr std::string_view input_cost = "input_cost_per_token";
constexpr std::string_view output_cost = "output_cost_per_token";
constexpr std::string_view cached_cost = "cache_read_input_token_cost";

// One entry of the document.
class litellm_entry {
 public:
  litellm_entry(std::string_view model, const json_object& fields, std::string_view origin)
      : model_(model), fields_(fields), origin_(origin) {}

  std::optional<listed_price> price() const {
    const auto input = usd_field(input_cost);
    const auto cached = usd_field(cached_cost);
    const auto output = usd_field(output_cost);
    if (!input || !is_of_text()) return std::nullopt;
    if (*input == usd{} && output.value_or(usd{}) == usd{}) return std::nullopt;
    return listed_price{*input, cached, output};
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

  // A model of the endpoints that a job may name.
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
