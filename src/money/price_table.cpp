#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/refuse.hpp"
#include "json/object.hpp"
#include "money/decimal.hpp"
#include "money/litellm_prices.hpp"
#include "money/price_data.hpp"
#include "money/price_fields.hpp"
#include "sluice/error.hpp"
#include "sluice/money.hpp"

namespace sluice {
namespace {

// A price of this program's own form, per token.
std::optional<usd> own_price(const json_object& fields, std::string_view name,
                             std::string_view model, std::string_view origin) {
  constexpr usd::units million = 1'000'000;
  if (!fields.has_value(name)) return std::nullopt;
  const auto text = fields.text(name);
  if (!text) {
    refuse(origin, fmt::format("\"{}\" of {} is not a string; write prices as decimal strings",
                               name, model));
  }
  auto price = usd::parse(*text);
  if (price && price->count() % million != 0) price.reset();
  if (price) price = sane_price(usd::from_units(price->count() / million));
  if (!price) {
    refuse(origin,
           fmt::format("\"{}\" of {} is \"{}\", which is no price in USD per million tokens", name,
                       model, *text));
  }
  return price;
}

price_table read_own_prices(const json_object& models, std::string_view origin) {
  price_table table;
  for (const json_member& member : models) {
    const std::string model = member_name(member);
    const json_object fields(member.value);
    if (!fields.is_object()) refuse(origin, fmt::format("the entry of {} is not an object", model));
    for (const char* name : {"input", "output"}) {
      if (fields.has(name)) continue;
      refuse(
          origin,
          fmt::format("the entry of {} has no \"{}\"; give both prices, null where there is none",
                      model, name));
    }
    const auto input = own_price(fields, "input", model, origin);
    const auto cached = own_price(fields, "cached_input", model, origin);
    const auto output = own_price(fields, "output", model, origin);
    std::optional<listed_price> price;
    if (input) price = {*input, cached, output};
    table.set(model, price,
              {count_field(fields, "max_input_tokens"), count_field(fields, "max_output_tokens")});
  }
  return table;
}

bool is_fine_tuned(std::string_view name) {
  return name.starts_with("ft:") || name.find("/ft:") != std::string_view::npos;
}

// Whether eight digits are a day: "20240806".
bool is_day(std::string_view digits) {
  if (!std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return false;
  const std::string_view month = digits.substr(4, 2);
  const std::string_view day = digits.substr(6, 2);
  return digits.starts_with("20") && month >= "01" && month <= "12" && day >= "01" && day <= "31";
}

// How many characters at the end of a name are the date of a snapshot, with the mark before it.
std::size_t date_length(std::string_view name) {
  constexpr std::size_t plain = 9;    // -20240806
  constexpr std::size_t dashed = 11;  // -2024-08-06
  const auto last = [&](std::size_t size) { return name.substr(name.size() - size); };
  if (name.size() > plain && (last(plain)[0] == '-' || last(plain)[0] == '@') &&
      is_day(last(plain).substr(1))) {
    return plain;
  }
  if (name.size() <= dashed) return 0;
  const std::string_view date = last(dashed);
  if (date[0] != '-' || date[5] != '-' || date[8] != '-') return 0;
  std::string digits(date.substr(1, 4));
  digits.append(date.substr(6, 2)).append(date.substr(9, 2));
  return is_day(digits) ? dashed : 0;
}

}  // namespace

usd token_price::cost(const token_usage& usage) const noexcept {
  return input * (usage.prompt_tokens - usage.cached_tokens) + cached_input * usage.cached_tokens +
         output * usage.completion_tokens;
}

std::optional<token_price> listed_price::at(endpoint target) const noexcept {
  if (!output && target != endpoint::embeddings) return std::nullopt;
  return token_price{input, cached_input.value_or(input), output.value_or(usd{})};
}

price_table price_table::built_in() {
  price_table table;
  table.merge(price_table_json(), "the built-in price table");
  return table;
}

std::string_view price_table::built_in_date() noexcept {
  return price_table_date();
}

void price_table::merge(std::string_view json, std::string_view origin) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (json.starts_with(byte_order_mark)) json.remove_prefix(byte_order_mark.size());
  const json_object models = json_object::parse(json);
  if (!models.is_object()) {
    refuse(origin,
           "not a JSON object of models; write {\"MODEL\": {\"input\": \"2.50\", \"output\": "
           "\"10\"}}");
  }
  merge(is_litellm_prices(models) ? read_litellm_prices(models, origin)
                                  : read_own_prices(models, origin));
}

void price_table::merge(const price_table& over) {
  for (const auto& [model, told] : over.entries_) set(model, told.price, told.limits);
}

void price_table::set(std::string model, const std::optional<listed_price>& price,
                      const model_limits& limits) {
  entry& changed = entries_[std::move(model)];
  changed.price = price;
  if (limits.input) changed.limits.input = limits.input;
  if (limits.output) changed.limits.output = limits.output;
}

void price_table::multiply(std::string_view factor) {
  const auto fail = [&](std::string_view what) {
    refuse(fmt::format("--price-multiplier {}", factor), what);
  };
  constexpr usd::units most_digits = 1'000'000'000'000;  // so that no product overflows
  const auto value = parse_decimal(factor);
  if (!value || value->digits == 0 || value->digits > most_digits || value->exponent > 0)
    fail("not a positive decimal number; write it like 0.8 or 1.25");
  const auto times = [&](usd price) {
    usd::units product = price.count() * value->digits;
    for (int down = value->exponent; down < 0; ++down) {
      if (product % 10 != 0) fail("has more decimals than prices are kept to; round it");
      product /= 10;
    }
    if (product > dearest_token.count()) fail("makes a token dearer than 1 USD; check it");
    return usd::from_units(product);
  };
  for (auto& [model, changed] : entries_) {
    if (!changed.price) continue;
    auto& [input, cached, output] = *changed.price;
    input = times(input);
    if (cached) cached = times(*cached);
    if (output) output = times(*output);
  }
}

// The entry of the name, or of what stands behind one of its slashes.
const price_table::entry* price_table::find_behind_slashes(std::string_view name) const {
  for (;;) {
    if (const auto found = entries_.find(name); found != entries_.end()) return &found->second;
    const std::size_t slash = name.find('/');
    if (slash == std::string_view::npos || name.starts_with("ft:")) return nullptr;
    name.remove_prefix(slash + 1);
  }
}

const price_table::entry* price_table::find_entry(std::string_view model) const {
  constexpr std::size_t longest = 256;  // of a name that is taken apart
  if (model.size() > longest) {
    const auto found = entries_.find(model);
    return found == entries_.end() ? nullptr : &found->second;
  }
  const entry* found = find_behind_slashes(model);
  const std::size_t date = found != nullptr || is_fine_tuned(model) ? 0 : date_length(model);
  if (date == 0) return found;
  const std::size_t mark = model.size() - date;
  if (model[mark] == '@') {
    std::string name(model);
    name[mark] = '-';
    found = find_behind_slashes(name);
  }
  return found != nullptr ? found : find_behind_slashes(model.substr(0, mark));
}

std::optional<token_price> price_table::find(std::string_view model, endpoint target) const {
  const listed_price* price = listed(model);
  return price == nullptr ? std::nullopt : price->at(target);
}

const listed_price* price_table::listed(std::string_view model) const {
  const entry* found = find_entry(model);
  return found == nullptr || !found->price ? nullptr : &*found->price;
}

model_limits price_table::limits(std::string_view model) const {
  const entry* found = find_entry(model);
  return found == nullptr ? model_limits{} : found->limits;
}

std::optional<token_price> relay_prices::dearest(std::string_view model, endpoint target) const {
  auto dearest = usual_.find(model, target);
  for (const auto& [relay, table] : own_) {
    const auto price = table.find(model, target);
    if (!dearest || !price) return std::nullopt;
    dearest->input = std::max(dearest->input, price->input);
    dearest->cached_input = std::max(dearest->cached_input, price->cached_input);
    dearest->output = std::max(dearest->output, price->output);
  }
  return dearest;
}

}  // namespace sluice
