#include "sluice/money.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "price_data.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

constexpr int per_million_decimals = 6;  // a price per million is one per token, six places further

// A decimal as digits × 10^-scale; nothing when it is not one, or too long for the type.
struct decimal {
  usd::units digits = 0;
  int scale = 0;
};

std::optional<decimal> parse_decimal(std::string_view text) {
  constexpr std::size_t longest = 30;  // digits; far from the type's 38
  decimal value;
  bool point = false;
  std::size_t digits = 0;
  for (const char c : text) {
    if (c == '.' && !point) {
      point = true;
      continue;
    }
    if (c < '0' || c > '9' || ++digits > longest) return std::nullopt;
    value.digits = value.digits * 10 + (c - '0');
    value.scale += point ? 1 : 0;
  }
  if (digits == 0 || text.back() == '.') return std::nullopt;
  while (value.scale > 0 && value.digits % 10 == 0) {
    value.digits /= 10;
    --value.scale;
  }
  return value;
}

std::optional<usd> scaled(const decimal& value, int extra_decimals) {
  int up = usd::decimals - value.scale - extra_decimals;
  if (up < 0) return std::nullopt;
  constexpr usd::units limit = usd::units{1} << 120;
  usd::units units = value.digits;
  for (; up > 0; --up) {
    if (units > limit / 10) return std::nullopt;
    units *= 10;
  }
  return usd::from_units(units);
}

}  // namespace

std::optional<usd> usd::parse(std::string_view text) {
  const auto value = parse_decimal(text);
  return value ? scaled(*value, 0) : std::nullopt;
}

std::optional<usd> usd::nearest(std::string_view json_number) {
  constexpr std::size_t most_digits = 30;  // of the mantissa; a double has 17
  const std::size_t e = std::min(json_number.find_first_of("eE"), json_number.size());
  int exponent = 0;
  if (e < json_number.size()) {
    std::string_view text = json_number.substr(e + 1);
    if (text.starts_with('+')) text.remove_prefix(1);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), exponent);
    constexpr int sane = 1000;
    if (error != std::errc{} || end != text.data() + text.size() || std::abs(exponent) > sane) {
      return std::nullopt;
    }
  }
  std::string_view mantissa = json_number.substr(0, e);
  if (mantissa.find('.') < mantissa.size()) mantissa = mantissa.substr(0, most_digits + 1);
  const auto value = parse_decimal(mantissa);
  if (!value) return std::nullopt;
  int down = value->scale - exponent - decimals;
  if (down <= 0) return scaled({value->digits, 0}, decimals + down);
  units rounded = value->digits;
  for (; down > 1 && rounded > 0; --down) rounded /= 10;
  return from_units((rounded + 5) / 10);
}

std::string usd::to_string() const {
  constexpr std::uint64_t one = 1'000'000'000'000'000'000U;  // dollar
  const units size = value_ < 0 ? -value_ : value_;
  const auto dollars = static_cast<std::uint64_t>(size / one);
  const auto fraction = static_cast<std::uint64_t>(size % one);
  std::string text;
  if (value_ < 0) text += '-';
  const fmt::format_int whole(dollars);
  text.append(whole.data(), whole.size());
  if (fraction == 0) return text;
  const fmt::format_int padded(fraction + one);  // a one in front keeps the zeros
  std::string_view digits(padded.data() + 1, padded.size() - 1);
  digits = digits.substr(0, digits.find_last_not_of('0') + 1);
  text += '.';
  return text.append(digits);
}

usd token_price::cost(const token_usage& usage) const noexcept {
  return input * (usage.prompt_tokens - usage.cached_tokens) + cached_input * usage.cached_tokens +
         output * usage.completion_tokens;
}

price_table price_table::built_in() {
  price_table table;
  table.merge(price_table_json(), "the built-in price table");
  return table;
}

void price_table::merge(std::string_view json, std::string_view origin) {
  const auto fail = [&](const std::string& what) {
    throw fatal_error(fatal_error::kind::cannot_start, fmt::format("{}: {}", origin, what));
  };
  const auto document = nlohmann::json::parse(json, nullptr, false);
  if (!document.is_object()) {
    fail(
        "not a JSON object of models; write {\"MODEL\": {\"input\": \"2.50\", \"output\": "
        "\"10\"}}");
  }
  const auto price_of = [&](const std::string& model, const nlohmann::json& entry,
                            const char* name) -> std::optional<usd> {
    const auto field = entry.find(name);
    if (field == entry.end() || field->is_null()) return std::nullopt;
    if (!field->is_string()) {
      fail(fmt::format("\"{}\" of {} is not a string; write prices as decimal strings", name,
                       model));
    }
    const auto value = parse_decimal(field->get_ref<const std::string&>());
    const auto price = value ? scaled(*value, per_million_decimals) : std::nullopt;
    if (!price) {
      fail(fmt::format("\"{}\" of {} is \"{}\", which is no price in USD per million tokens", name,
                       model, field->get_ref<const std::string&>()));
    }
    return price;
  };
  for (const auto& [model, entry] : document.items()) {
    if (!entry.is_object()) fail(fmt::format("the entry of {} is not an object", model));
    for (const char* name : {"input", "output"}) {
      if (entry.contains(name)) continue;
      fail(fmt::format("the entry of {} has no \"{}\"; give both prices, null where there is none",
                       model, name));
    }
    if (const auto limit = entry.find("max_output_tokens");
        limit != entry.end() && limit->is_number_unsigned() && *limit > 0) {
      output_limits_[model] = *limit;
    }
    const auto input = price_of(model, entry, "input");
    const auto cached = price_of(model, entry, "cached_input");
    const auto output = price_of(model, entry, "output");
    if (!input) {
      prices_.erase(model);  // unknown
      continue;
    }
    prices_[model] = {*input, cached.value_or(*input), output.value_or(usd{})};
  }
}

void price_table::multiply(std::string_view factor) {
  const auto fail = [&](std::string_view what) {
    throw fatal_error(fatal_error::kind::cannot_start,
                      fmt::format("--price-multiplier {}: {}", factor, what));
  };
  const auto value = parse_decimal(factor);
  if (!value || value->digits == 0 || value->digits > 1'000'000'000'000) {
    fail("not a positive decimal number; write it like 0.8 or 1.25");
  }
  usd::units divisor = 1;
  for (int i = 0; i < value->scale; ++i) divisor *= 10;
  const auto times = [&](usd price) {
    const usd::units product = price.count() * value->digits;
    if (product % divisor != 0) fail("has more decimals than prices are kept to; round it");
    return usd::from_units(product / divisor);
  };
  for (auto& [model, price] : prices_) {
    price = {times(price.input), times(price.cached_input), times(price.output)};
  }
}

const token_price* price_table::find(std::string_view model) const {
  const auto found = prices_.find(model);
  return found == prices_.end() ? nullptr : &found->second;
}

std::optional<std::int64_t> price_table::output_limit(std::string_view model) const {
  const auto found = output_limits_.find(model);
  if (found == output_limits_.end()) return std::nullopt;
  return found->second;
}

std::optional<token_price> relay_prices::dearest(std::string_view model) const {
  const token_price* usual = usual_.find(model);
  if (usual == nullptr) return std::nullopt;
  token_price dearest = *usual;
  for (const auto& [relay, table] : own_) {
    const token_price* price = table.find(model);
    if (price == nullptr) return std::nullopt;
    dearest.input = std::max(dearest.input, price->input);
    dearest.cached_input = std::max(dearest.cached_input, price->cached_input);
    dearest.output = std::max(dearest.output, price->output);
  }
  return dearest;
}

}  // namespace sluice
