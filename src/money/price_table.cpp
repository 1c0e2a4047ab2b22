#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/edit_distance.hpp"
#include "base/refuse.hpp"
#include "json/object.hpp"
#include "money/decimal.hpp"
#include "money/litellm_prices.hpp"
#include "money/price_data.hpp"
#include "money/price_fields.hpp"
#include "money/price_list.hpp"
#include "sluice/error.hpp"
#include "sluice/prices.hpp"

namespace sluice {
namespace {

// A price in the short form, converted to USD per token.
std::optional<usd> short_price(const json_object& fields, std::string_view name,
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

price_table read_short_list(const json_object& models, std::string_view origin) {
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
    const auto input = short_price(fields, "input", model, origin);
    const auto cached = short_price(fields, "cached_input", model, origin);
    const auto output = short_price(fields, "output", model, origin);
    std::optional<model_prices> price;
    if (input) {
      token_rates& rates = price.emplace().standard.base;
      rates[token_kind::input] = input;
      rates[token_kind::cached_input] = cached;
      rates[token_kind::output] = output;
    }
    table.set(model, std::move(price),
              {count_field(fields, "max_input_tokens"), count_field(fields, "max_output_tokens")});
  }
  return table;
}

bool is_fine_tuned(std::string_view name) {
  return name.starts_with("ft:") || name.find("/ft:") != std::string_view::npos;
}

// Whether the eight digits are a date: "20240806".
bool is_day(std::string_view digits) {
  if (!std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return false;
  const std::string_view month = digits.substr(4, 2);
  const std::string_view day = digits.substr(6, 2);
  return digits.starts_with("20") && month >= "01" && month <= "12" && day >= "01" && day <= "31";
}

// The number of characters at the end of a name that are the date of a snapshot, including the mark
// before it.
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

price_table price_table::built_in() {
  // It is valid JSON in the second format: a test checks it.
  return read_price_list(json_object(price_table_json()), "the built-in price table");
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
  if (is_price_list(models)) return merge(read_price_list(models, origin));
  merge(is_litellm_prices(models) ? read_litellm_prices(models, origin)
                                  : read_short_list(models, origin));
}

void price_table::merge(price_table over) {
  over.entries_.merge(entries_);  // leaves the entries that `over` replaces
  for (const auto& [model, replaced] : entries_) {
    model_limits& limits = over.entries_.find(model)->second.limits;
    if (!limits.input) limits.input = replaced.limits.input;
    if (!limits.output) limits.output = replaced.limits.output;
  }
  entries_ = std::move(over.entries_);
}

void price_table::set(std::string model, std::optional<model_prices> price,
                      const model_limits& limits) {
  entry& changed = entries_[std::move(model)];
  changed.price = std::move(price);
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
  if (value->digits == 1 && value->exponent == 0) return;
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
    changed.price->each_rates([&](token_rates& rates) {
      for (std::size_t i = 0; i < token_kinds; ++i) {
        auto& rate = rates[static_cast<token_kind>(i)];
        if (rate) rate = times(*rate);
      }
    });
  }
}

// Finds the entry of the name, or of the part after one of its slashes.
const price_table::entry* price_table::find_behind_slashes(std::string_view name) const {
  for (;;) {
    if (const auto found = entries_.find(name); found != entries_.end()) return &found->second;
    const std::size_t slash = name.find('/');
    if (slash == std::string_view::npos || name.starts_with("ft:")) return nullptr;
    name.remove_prefix(slash + 1);
  }
}

const price_table::entry* price_table::find_entry(std::string_view model) const {
  constexpr std::size_t longest = 256;  // the longest name that is taken apart
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

const model_prices* price_table::find(std::string_view model, endpoint target) const {
  const model_prices* price = listed(model);
  return price != nullptr && price->serves(target) ? price : nullptr;
}

const model_prices* price_table::listed(std::string_view model) const {
  const entry* found = find_entry(model);
  return found == nullptr || !found->price ? nullptr : &*found->price;
}

std::vector<std::string> price_table::nearest(std::string_view model) const {
  constexpr std::size_t most = 3;
  constexpr std::size_t longest = 256;  // the longest name that is compared
  model.remove_prefix(model.rfind('/') + 1);
  if (model.size() > longest) return {};
  const std::size_t far = model.size() / 3 + 1;
  std::vector<std::pair<std::size_t, std::string>> near;
  for (const auto& [name, told] : entries_) {
    if (!told.price) continue;
    const std::size_t distance = edit_distance(model, name);
    if (distance < far) near.emplace_back(distance, name);
  }
  std::sort(near.begin(), near.end());
  std::vector<std::string> names;
  for (std::size_t i = 0; i < std::min(near.size(), most); ++i)
    names.push_back(std::move(near[i].second));
  return names;
}

model_limits price_table::limits(std::string_view model) const {
  const entry* found = find_entry(model);
  return found == nullptr ? model_limits{} : found->limits;
}

bool relay_prices::has(std::optional<std::string_view> relay, std::string_view model,
                       endpoint target) const {
  bool all = true;
  each(relay, [&](const price_table& table) { all = all && table.find(model, target) != nullptr; });
  return all;
}

std::optional<model_prices::bound> relay_prices::dearest(std::optional<std::string_view> relay,
                                                         std::string_view model,
                                                         std::int64_t most_prompt_tokens,
                                                         endpoint target,
                                                         std::string_view tier) const {
  model_prices::bound dearest;
  bool known = true;
  each(relay, [&](const price_table& table) {
    const model_prices* prices = table.find(model, target);
    const auto bound =
        prices == nullptr ? std::nullopt : prices->dearest(most_prompt_tokens, target, tier);
    known = known && bound;
    if (!bound) return;
    dearest.prompt = std::max(dearest.prompt, bound->prompt);
    dearest.completion = std::max(dearest.completion, bound->completion);
  });
  return known ? std::optional(dearest) : std::nullopt;
}

std::string relay_prices::did_you_mean(std::string_view model) const {
  const auto names = usual_.nearest(model);
  return names.empty() ? std::string() : fmt::format(" (did you mean {}?)", fmt::join(names, ", "));
}

std::string_view relay_prices::not_understood(std::string_view model) const {
  std::string_view field;
  each(std::nullopt, [&](const price_table& table) {
    const model_prices* prices = table.listed(model);
    if (prices != nullptr && field.empty()) field = prices->not_understood;
  });
  return field;
}

}  // namespace sluice
