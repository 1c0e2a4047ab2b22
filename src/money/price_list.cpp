#include "money/price_list.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "json/same_key.hpp"
#include "money/decimal.hpp"
#include "money/price_fields.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

constexpr double seconds_a_day = 24 * 60 * 60;
constexpr std::array<std::string_view, 5> tier_names = {"batch", "flex", "priority", "ultrafast",
                                                        "fast"};
// The fields that an entry may have in addition to its rates.
constexpr std::array<std::string_view, 16> other_fields = {
    "provider", "above",     "tiers",   "hours",     "next",       "from",     "until",   "geo",
    "retired",  "converted", "context", "max_input", "max_output", "encoding", "aliases", "src"};

std::optional<int> number_at(std::string_view text, std::size_t at, std::size_t length) {
  int value = 0;
  if (text.size() < at + length) return std::nullopt;
  const char* const end = text.data() + at + length;
  const auto [stop, error] = std::from_chars(text.data() + at, end, value);
  return error == std::errc{} && stop == end && value >= 0 ? std::optional(value) : std::nullopt;
}

// The name of a member. `plain` keeps it if its key has escapes.
std::string_view name_in(const json_member& member, std::string& plain) {
  if (!member.escaped) return member.key;
  plain = member_name(member);
  return plain;
}

std::optional<token_kind> kind_of(std::string_view name) {
  static const auto names = [] {
    std::array<std::string_view, token_kinds> all;
    for (std::size_t i = 0; i < token_kinds; ++i) all[i] = to_string(static_cast<token_kind>(i));
    return all;
  }();
  for (std::size_t i = 0; i < token_kinds; ++i) {
    if (same_key(names[i], name)) return static_cast<token_kind>(i);
  }
  return std::nullopt;
}

template <typename Names>
bool is_one_of(const Names& names, std::string_view name) {
  return std::any_of(names.begin(), names.end(),
                     [&](std::string_view one) { return same_key(one, name); });
}

// Reads one model's entry.
class entry_reader {
 public:
  entry_reader(std::string_view model, std::string_view origin) : model_(model), origin_(origin) {}

  model_prices read(const json_object& entry) const {
    model_prices prices;
    for (const json_member& member : entry) {
      std::string plain;
      const std::string_view name = name_in(member, plain);
      if (!kind_of(name) && !is_one_of(other_fields, name)) {
        fail(name, "is not a field that this program knows");
      }
    }
    prices.standard = card_of(entry);
    if (const auto text = entry.text("until")) prices.until = end_of_day(entry, "until");
    for (const std::string_view element : entry.list("next")) {
      const json_object next(element);
      prices.changes.push_back({time_of(next, "from"), rates_of(next, {"from"})});
    }
    std::sort(prices.changes.begin(), prices.changes.end(),
              [](const auto& a, const auto& b) { return a.from < b.from; });
    for (const std::string_view element : entry.list("hours")) {
      prices.hours.push_back(hours_of(json_object(element)));
    }
    for (const json_member& member : entry.object("tiers")) {
      const std::string name = member_name(member);
      if (std::find(tier_names.begin(), tier_names.end(), name) == tier_names.end())
        fail("tiers", fmt::format("has \"{}\", which is no service tier", name));
      prices.tiers.emplace(name, tier_of(json_object(member.value), prices));
    }
    for (const json_member& member : entry.object("geo")) {
      prices.geo.emplace(member_name(member), geo_factor(json_object(member.value), prices));
    }
    return prices;
  }

 private:
  [[noreturn]] void fail(std::string_view field, std::string_view what) const {
    throw fatal_error(fatal_error::kind::cannot_start,
                      fmt::format("{}: \"{}\" of {} {}", origin_, field, model_, what));
  }

  usd rate_of(std::string_view name, std::string_view value) const {
    constexpr usd::units million = 1'000'000;
    const auto text = json_string(value);
    auto price = text ? usd::parse(*text) : std::nullopt;
    if (price && price->count() % million != 0) price.reset();
    if (price) price = sane_price(usd::from_units(price->count() / million));
    if (!price) {
      fail(name,
           fmt::format("is {}, which is no price in USD per million tokens; write it like \"2.50\"",
                       number_text(value)));
    }
    return *price;
  }

  // The rates in an object. `others`: members that are not rates.
  token_rates rates_of(const json_object& object,
                       std::initializer_list<std::string_view> others) const {
    token_rates rates;
    for (const json_member& member : object) {
      std::string plain;
      const std::string_view name = name_in(member, plain);
      if (const auto kind = kind_of(name)) {
        rates[*kind] = rate_of(name, member.value);
      } else if (!is_one_of(others, name)) {
        fail(name, "is not a rate that this program knows");
      }
    }
    return rates;
  }

  rate_card card_of(const json_object& object) const {
    rate_card card;
    for (const json_member& member : object) {
      std::string plain;
      const std::string_view name = name_in(member, plain);
      if (const auto kind = kind_of(name)) card.base[*kind] = rate_of(name, member.value);
    }
    for (const std::string_view element : object.list("above")) {
      const json_object step(element);
      const auto above = count_field(step, "input_tokens");
      if (!above) fail("above", "has no whole number of input_tokens");
      if (!card.steps.empty() && card.steps.back().above >= *above)
        fail("above", "is not in ascending order");
      card.steps.push_back({*above, rates_of(step, {"input_tokens"})});
    }
    return card;
  }

  tier_prices tier_of(const json_object& object, const model_prices& prices) const {
    tier_prices tier;
    if (object.has("until")) tier.until = end_of_day(object, "until");
    if (!object.has("times")) {
      tier.own = card_of(object);
      return tier;
    }
    tier.times = factor_of(object);
    check_exact(prices, *tier.times);
    return tier;
  }

  rate_factor geo_factor(const json_object& object, const model_prices& prices) const {
    const rate_factor factor = factor_of(object);
    check_exact(prices, factor);
    for (const auto& [name, tier] : prices.tiers) {
      if (!tier.times) continue;
      check_exact(prices, {factor.first * tier.times->first, factor.second + tier.times->second});
    }
    return factor;
  }

  rate_factor factor_of(const json_object& object) const {
    const auto factor = factor_in(parse_decimal(object.text("times").value_or("")));
    if (!factor) fail("times", "is no factor; write it like \"0.5\"");
    return *factor;
  }

  void check_exact(const model_prices& prices, rate_factor factor) const {
    if (!is_exact_for(prices, factor)) fail("times", "makes a rate finer than prices are kept to");
  }

  rate_hours hours_of(const json_object& object) const {
    rate_hours hours;
    const std::string utc = object.text("utc").value_or("");
    const auto part = [&](std::size_t at) { return number_at(utc, at, 2); };
    const bool shaped = utc.size() == 11 && utc[2] == ':' && utc[5] == '-' && utc[8] == ':';
    if (!shaped || !part(0) || !part(3) || !part(6) || !part(9))
      fail("utc", "is no window of hours; write it like \"01:00-04:00\"");
    hours.begin_s = (*part(0) * 60 + *part(3)) * 60;
    hours.end_s = (*part(6) * 60 + *part(9)) * 60;
    if (hours.begin_s >= hours.end_s || hours.end_s > static_cast<int>(seconds_a_day))
      fail("utc", "does not end behind its beginning on the same day");
    const std::string days = object.text("days").value_or("daily");
    if (days == "mon-fri") {
      hours.days = 0b0111110;
    } else if (days != "daily") {
      fail("days", "is neither \"mon-fri\" nor \"daily\"");
    }
    if (object.has("from")) hours.from = time_of(object, "from");
    hours.rates = rates_of(object, {"utc", "days", "not", "from"});
    return hours;
  }

  double time_of(const json_object& object, std::string_view name) const {
    const auto time = unix_time_of(object.text(name).value_or(""));
    if (!time) fail(name, "is no day or moment; write it like \"2026-12-01\"");
    return *time;
  }
  double end_of_day(const json_object& object, std::string_view name) const {
    return time_of(object, name) + seconds_a_day;
  }

  std::string_view model_;
  std::string_view origin_;
};

}  // namespace

std::optional<double> unix_time_of(std::string_view text) {
  constexpr std::size_t day_length = 10;
  const auto year = number_at(text, 0, 4);
  const auto month = number_at(text, 5, 2);
  const auto day = number_at(text, 8, 2);
  if (!year || !month || !day || text[4] != '-' || text[7] != '-') return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  double time = static_cast<double>(days) * seconds_a_day;
  if (text.size() == day_length) return time;
  const auto hour = number_at(text, 11, 2);
  const auto minute = number_at(text, 14, 2);
  const auto second = number_at(text, 17, 2);
  const bool shaped = text.size() == 20 && text[10] == 'T' && text[13] == ':' && text[16] == ':' &&
                      text[19] == 'Z' && hour && minute && second;
  if (!shaped || *hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
  return time + (*hour * 60 + *minute) * 60 + *second;
}

bool is_price_list(const json_object& document) {
  return document.value("format") == "2" && document.object("models").is_object();
}

price_table read_price_list(const json_object& document, std::string_view origin) {
  price_table table;
  price_table aliases;
  for (const json_member& member : document.object("models")) {
    const std::string model = member_name(member);
    const json_object entry(member.value);
    if (!entry.is_object()) {
      throw fatal_error(fatal_error::kind::cannot_start,
                        fmt::format("{}: the entry of {} is not an object", origin, model));
    }
    std::optional<model_prices> prices = entry_reader(model, origin).read(entry);
    auto input = count_field(entry, "max_input");
    if (!input) input = count_field(entry, "context");
    const model_limits limits{input, count_field(entry, "max_output")};
    if (!prices->standard.base[token_kind::input]) prices.reset();
    for (const std::string_view alias : entry.list("aliases")) {
      if (auto name = json_string(alias)) aliases.set(*std::move(name), prices, limits);
    }
    table.set(model, std::move(prices), limits);
  }
  aliases.merge(std::move(table));  // a model's own entry has priority over an alias
  return aliases;
}

}  // namespace sluice
