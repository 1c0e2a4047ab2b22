#include "money/litellm_prices.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/time_of_day.hpp"
#include "money/price_fields.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

constexpr std::string_view input_cost = "input_cost_per_token";
constexpr std::string_view output_cost = "output_cost_per_token";
constexpr std::string_view reasoning_cost = "output_cost_per_reasoning_token";
constexpr std::string_view cached_cost = "cache_read_input_token_cost";
constexpr std::string_view cache_hit_cost = "input_cost_per_token_cache_hit";  // the same
constexpr std::string_view tiered = "tiered_pricing";
constexpr std::string_view off_peak = "off_peak_pricing";

// The fields of rates, without suffixes: each name with its kind of token.
constexpr std::array<std::pair<std::string_view, token_kind>, 8> rate_fields = {{
    {input_cost, token_kind::input},
    {output_cost, token_kind::output},
    {cached_cost, token_kind::cached_input},
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

// The same prices in Databricks' own unit, next to those in USD.
constexpr std::array<std::string_view, 2> other_units = {"input_dbu_cost_per_token",
                                                         "output_dbu_cost_per_token"};

constexpr std::array<std::pair<std::string_view, std::string_view>, 5> tier_suffixes = {{
    {"_flex", "flex"},
    {"_priority", "priority"},
    {"_batches", "batch"},
    {"_ultrafast", "ultrafast"},
    {"_balanced", "balanced"},
}};

// How long a cache keeps what is written at a rate of its own: Anthropic's hour, OpenAI's 12 hours.
constexpr std::array<std::string_view, 2> lifetimes = {"_above_1hr", "_above_12hr"};

bool take_suffix(std::string_view& name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return false;
  name.remove_suffix(suffix.size());
  return true;
}

std::string_view take_tier(std::string_view& name) {
  for (const auto& [suffix, tier] : tier_suffixes) {
    if (take_suffix(name, suffix)) return tier;
  }
  return {};
}

// The meaning of a rate field such as "input_cost_per_token_above_200k_tokens_priority".
struct rate_field {
  token_kind kind = token_kind::input;
  std::int64_t above = 0;     // prompt tokens above which it applies; 0: always
  std::string_view tier;      // empty: standard
  std::string_view lifetime;  // of a long-lived cache; one of `lifetimes`
};

std::optional<rate_field> parse_rate_field(std::string_view name) {
  rate_field field;
  field.tier = take_tier(name);
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
  for (const std::string_view lifetime : lifetimes) {
    if (take_suffix(name, lifetime)) field.lifetime = lifetime;
  }
  const auto found = std::find_if(rate_fields.begin(), rate_fields.end(),
                                  [&](const auto& row) { return row.first == name; });
  if (found == rate_fields.end()) return std::nullopt;
  field.kind = found->second;
  if (!field.lifetime.empty()) {
    if (field.kind != token_kind::cache_write) return std::nullopt;
    field.kind = token_kind::cache_write_1h;
  }
  return field;
}

// Whether requests of this program that have a cost bound never pay this field.
bool is_never_paid(std::string_view name) {
  const auto is_name = [&](std::string_view one) { return one == name; };
  if (std::any_of(fees.begin(), fees.end(), is_name) ||
      std::any_of(other_units.begin(), other_units.end(), is_name))
    return true;
  // Rates of /v1/decisions, an endpoint that no job can name.
  if (take_suffix(name, "_decisions")) return parse_rate_field(name).has_value();
  // Audio has no bound.
  take_tier(name);
  return name == "cache_read_input_audio_token_cost";
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

// A price in USD per token; nothing: it is none, or it is too high for one.
std::optional<usd> price_in(std::string_view text) {
  const auto number = parse_json_number(text);
  return number ? sane_price(rounded_up_product({&*number, 1})) : std::nullopt;
}

// Kinds that the rates of a length or of hours may have.
bool is_of_every_request(token_kind kind) {
  return kind == token_kind::input || kind == token_kind::output ||
         kind == token_kind::cached_input || kind == token_kind::cache_write;
}

// The rates in an object inside an entry; nothing if it has a member that is neither such a rate
// nor one of the others.
std::optional<token_rates> nested_rates(const json_object& object,
                                        std::initializer_list<std::string_view> others) {
  token_rates rates;
  for (const json_member& member : object) {
    const std::string name = member_name(member);
    if (!object.has_value(name) || std::find(others.begin(), others.end(), name) != others.end())
      continue;
    if (name == reasoning_cost && number_text(object, name) == number_text(object, output_cost))
      continue;
    const auto field = parse_rate_field(name);
    const auto price = price_in(number_text(object, name).value_or(""));
    if (!field || field->above != 0 || !field->tier.empty() || !is_of_every_request(field->kind) ||
        !price) {
      return std::nullopt;
    }
    rates[field->kind] = price;
  }
  return rates;
}

// A whole number of tokens, from zero.
std::optional<std::int64_t> tokens_in(std::string_view text) {
  constexpr std::int64_t most = 1'000'000'000'000;
  auto number = parse_json_number(text);
  if (!number || number->cut) return std::nullopt;
  if (number->digits == 0) return 0;
  for (; number->exponent > 0 && number->digits <= most; --number->exponent) number->digits *= 10;
  if (number->exponent != 0 || number->digits > most) return std::nullopt;
  return static_cast<std::int64_t>(number->digits);
}

// Reads "tiered_pricing": a list of {"range": [FROM, TO], RATES}. A prompt of more than FROM and at
// most TO tokens pays these rates, and a longer one those of the last range. The result replaces
// `flat`, the other rates of the entry. Nothing: the list has another form or contradicts `flat`.
std::optional<rate_card> tiered_card(std::string_view list, const token_rates& flat) {
  rate_card card;
  std::int64_t end = 0;
  const auto ranges = json_elements(list);
  if (!ranges || ranges->empty()) return std::nullopt;
  for (const std::string_view element : *ranges) {
    const json_object object(element);
    const auto range = object.list("range");
    const auto rates = nested_rates(object, {"range"});
    if (range.size() != 2 || !rates) return std::nullopt;
    const auto from = tokens_in(range[0]);
    const auto to = tokens_in(range[1]);
    if (!from || !to || *from != end || *to <= *from) return std::nullopt;
    end = *to;
    if (*from == 0) {
      card.base = *rates;
    } else {
      card.steps.push_back({*from, *rates});
    }
  }
  for (std::size_t i = 0; i < token_kinds; ++i) {
    const auto kind = static_cast<token_kind>(i);
    auto& first = card.base[kind];
    const bool in_all = std::all_of(card.steps.begin(), card.steps.end(), [&](const auto& step) {
      return step.rates[kind].has_value() == first.has_value();
    });
    const bool fits = !flat[kind] || (first ? first == flat[kind] : kind == token_kind::output);
    if (!in_all || !fits) return std::nullopt;
    if (!first) first = flat[kind];
  }
  return card.base[token_kind::input] ? std::optional(std::move(card)) : std::nullopt;
}

constexpr int hour_seconds = 60 * 60;
constexpr int day_seconds = 24 * hour_seconds;
constexpr std::uint8_t every_day = 0x7F;

// "10:00-00:00": the begin and the end in seconds of the day.
std::optional<std::pair<int, int>> window_in(std::string_view text) {
  const std::size_t dash = std::min(text.find('-'), text.size());
  const auto begin = read_time_of_day(text.substr(0, dash));
  const auto end = dash < text.size() ? read_time_of_day(text.substr(dash + 1)) : std::nullopt;
  if (!begin || !end) return std::nullopt;
  const auto seconds = [](const time_of_day& time) {
    return time.hour * hour_seconds + time.minute * 60;
  };
  return std::pair(seconds(*begin), seconds(*end));
}

// The days of the week from 1, Monday, to 7, as a mask; every day if there is no list.
std::optional<std::uint8_t> days_in(const json_object& rule) {
  if (!rule.has_value("weekdays")) return every_day;
  std::uint8_t mask = 0;
  for (const std::string_view day : rule.list("weekdays")) {
    const auto number = tokens_in(day);
    if (!number || *number < 1 || *number > 7) return std::nullopt;
    mask = static_cast<std::uint8_t>(mask | 1U << static_cast<unsigned>(*number % 7));
  }
  return mask != 0 ? std::optional(mask) : std::nullopt;
}

// Reads "off_peak_pricing": rates that replace the others in windows of the day in UTC, on some
// days of the week.
class off_peak_reader {
 public:
  // Nothing: the value has another form.
  std::optional<std::vector<rate_hours>> read(std::string_view value) {
    const json_object object(value);
    const auto rates = nested_rates(object, {"hours_utc", "windows", "weekday_timezone"});
    if (!object.is_object() || !rates || *rates == token_rates{}) return std::nullopt;
    rates_ = *rates;
    const auto zone = object.text("weekday_timezone");
    // China has no daylight saving time.
    if (zone == "Asia/Shanghai") {
      east_s_ = 8 * hour_seconds;
    } else if (object.has_value("weekday_timezone") && zone != "UTC") {
      return std::nullopt;
    }
    bool understood = !object.has_value("hours_utc") || add_windows(object, every_day);
    for (const std::string_view element : object.list("windows")) {
      const json_object rule(element);
      const auto days = days_in(rule);
      const bool known = std::all_of(rule.begin(), rule.end(), [](const json_member& member) {
        return is_named(member, "hours_utc") || is_named(member, "weekdays");
      });
      understood = understood && known && days && add_windows(rule, *days);
    }
    const bool is_list =
        !object.has_value("windows") || json_elements(object.value("windows")).has_value();
    return understood && is_list && !hours_.empty() ? std::optional(std::move(hours_))
                                                    : std::nullopt;
  }

 private:
  bool add_windows(const json_object& rule, std::uint8_t days) {
    const std::string_view value = rule.value("hours_utc");
    const auto several = json_elements(value);
    const auto windows = several ? *several : std::vector<std::string_view>{value};
    for (const std::string_view element : windows) {
      const auto window = window_in(json_string(element).value_or(""));
      if (!window) return false;
      const auto [begin, end] = *window;
      // A window may wrap past midnight; if it ends where it begins, it is the whole day.
      if (begin < end) {
        add(begin, end, days);
      } else {
        add(begin, day_seconds, days);
        add(0, end, days);
      }
    }
    return !windows.empty();
  }

  // `days` are those of the zone: there, the next day begins before the end of the day in UTC.
  void add(int begin, int end, std::uint8_t days) {
    const int next_day = day_seconds - east_s_;
    const auto day_before = static_cast<std::uint8_t>((days >> 1U | days << 6U) & every_day);
    add_in_utc(begin, std::min(end, next_day), days);
    add_in_utc(std::max(begin, next_day), end, day_before);
  }
  void add_in_utc(int begin, int end, std::uint8_t days) {
    if (begin < end)
      hours_.push_back({.begin_s = begin, .end_s = end, .days = days, .from = 0, .rates = rates_});
  }

  token_rates rates_;
  int east_s_ = 0;  // how far the zone of the days is ahead of UTC
  std::vector<rate_hours> hours_;
};

// Whether a field of this name may hold rates inside of it.
bool may_hold_rates(std::string_view name, std::string_view value) {
  return (value.starts_with('{') || value.starts_with('[')) &&
         (name.find("pricing") != std::string_view::npos ||
          name.find("tier") != std::string_view::npos ||
          name.find("peak") != std::string_view::npos);
}

// One entry of the document.
class litellm_entry {
 public:
  litellm_entry(std::string_view model, const json_object& fields, std::string_view origin)
      : model_(model), fields_(fields), origin_(origin) {}

  std::optional<model_prices> price() const {
    const auto input = usd_field(input_cost);
    const auto output = usd_field(output_cost);
    if (!is_of_text() || (!input && !fields_.has_value(tiered))) return std::nullopt;
    model_prices prices;
    std::string_view lifetime;  // the only one that the entry may have rates for
    for (const json_member& member : fields_) {
      const std::string name = member_name(member);
      if (name.find("cost") == std::string::npos || !fields_.has_value(name) || is_never_paid(name))
        continue;
      // If reasoning costs the same as output, no rate is needed. Otherwise the price is not
      // understood.
      if (name == reasoning_cost && usd_field(name) == output) continue;
      const auto field = parse_rate_field(name == cache_hit_cost ? cached_cost : name);
      // Two spellings of one kind must not contradict each other.
      const bool odd =
          !field || (name == cache_hit_cost &&
                     usd_field(cached_cost).value_or(*usd_field(name)) != *usd_field(name));
      if (odd || (!field->lifetime.empty() && !lifetime.empty() && field->lifetime != lifetime)) {
        if (prices.not_understood.empty()) prices.not_understood = name;
        continue;
      }
      if (!field->lifetime.empty()) lifetime = field->lifetime;
      rate_card& card =
          field->tier.empty() ? prices.standard : prices.tiers[std::string(field->tier)].own;
      rates_above(card, field->above)[field->kind] = usd_field(name);
    }
    add_nested(prices);
    drop_half_tiers(prices);
    add_factors(prices);
    const token_rates& base = prices.standard.base;
    const bool free =
        base[token_kind::input] == usd{} && base[token_kind::output].value_or(usd{}) == usd{};
    if (free) return std::nullopt;
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
    const auto price = price_in(*text);
    if (!price) {
      throw fatal_error(fatal_error::kind::cannot_start,
                        fmt::format("{}: \"{}\" of {} is {}, which is no price in USD per token",
                                    origin_, name, model_, *text));
    }
    return price;
  }

  // Some versions of the list have a rate for the input at a tier and none for the reply, which is
  // an error of the list. Such a tier has no known price, and does not count as one of the model's.
  static void drop_half_tiers(model_prices& prices) {
    if (!prices.standard.base[token_kind::output]) return;
    std::erase_if(prices.tiers, [](const auto& tier) {
      const token_rates& base = tier.second.own.base;
      return base[token_kind::input] && !base[token_kind::output];
    });
  }

  // Adds the rates in nested fields. If one of these is not understood, the other rates are wrong
  // for some requests, so none is kept.
  void add_nested(model_prices& prices) const {
    // Nothing says how these rules go together with others.
    const bool alone =
        prices.standard.steps.empty() && prices.tiers.empty() && !fields_.has_value(reasoning_cost);
    std::string odd;
    for (const json_member& member : fields_) {
      const std::string name = member_name(member);
      const std::string_view value = fields_.value(name);
      if (value.empty() || !odd.empty()) continue;
      if (name == tiered) {
        auto card = tiered_card(value, prices.standard.base);
        if (!card || !alone || fields_.has_value(off_peak)) {
          odd = name;
        } else {
          prices.standard = *std::move(card);
        }
      } else if (name == off_peak) {
        auto hours = off_peak_reader().read(value);
        if (!hours || !alone || fields_.has_value(tiered)) {
          odd = name;
        } else {
          prices.hours = *std::move(hours);
        }
      } else if (may_hold_rates(name, value)) {
        odd = name;
      }
    }
    if (odd.empty()) return;
    prices = {};
    prices.not_understood = odd;
  }

  // Adds Anthropic's factors on all rates: {"us": 1.1, "fast": 2.0}. Without an exact factor, such
  // replies have no known price.
  void add_factors(model_prices& prices) const {
    const json_object factors = fields_.object("provider_specific_entry");
    const auto factor = [&](std::string_view name) -> std::optional<rate_factor> {
      const auto found = factor_in(number_field(factors, name));
      return found && is_exact_for(prices, *found) ? found : std::nullopt;
    };
    const auto us = factor("us");
    const auto fast = factor("fast");
    if (fast) prices.tiers["fast"].times = fast;
    if (!us) return;
    const bool exact_when_fast =
        !fast || is_exact_for(prices, {us->first * fast->first, us->second + fast->second});
    if (exact_when_fast) prices.geo.emplace("us", *us);
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
