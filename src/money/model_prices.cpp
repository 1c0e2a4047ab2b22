#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "sluice/prices.hpp"

namespace sluice {
namespace {

constexpr double hour_s = 3600;
constexpr double day_s = 24 * hour_s;
// A day begins first in UTC+14 and last in UTC-12.
constexpr double earliest_day_begin_s = 14 * hour_s;
constexpr double latest_day_begin_s = 12 * hour_s;

constexpr std::array<std::string_view, token_kinds> kind_names = {
    "input",           "cached_input", "cache_write",  "cache_write_1h", "output",
    "output_thinking", "audio_input",  "audio_output", "image_input",    "image_output"};

std::optional<usd> larger(const std::optional<usd>& a, const std::optional<usd>& b) {
  return !a ? b : !b ? a : std::max(*a, *b);
}

// The standard tier is "default" for OpenAI, "on_demand" for Groq, and "standard" for Anthropic
// ("standard_only" in its requests). A reply with "auto" only repeats the request, so the tier is
// not reported.
bool is_standard(std::string_view tier) {
  constexpr std::array<std::string_view, 6> names = {"",     "default",   "standard",
                                                     "auto", "on_demand", "standard_only"};
  return std::find(names.begin(), names.end(), tier) != names.end();
}

// Anthropic reports the speed "standard" for most replies, and the place "global", or
// "not_available" for models without a choice.
bool is_usual_speed(std::string_view speed) {
  return speed.empty() || speed == "standard";
}
bool is_anywhere(std::string_view geo) {
  return geo.empty() || geo == "global" || geo == "not_available";
}

// The name of what has no price.
std::string tier_named_in(const serving& how) {
  if (is_usual_speed(how.speed)) return fmt::format("service_tier {}", how.tier);
  if (is_standard(how.tier)) return fmt::format("speed {}", how.speed);
  return fmt::format("speed {} at service_tier {}", how.speed, how.tier);
}

bool is_open(const rate_hours& hours, double unix_time) {
  if (unix_time < hours.from) return false;
  const double days = std::floor(unix_time / day_s);
  const auto weekday = static_cast<unsigned>(std::fmod(days + 4, 7));  // 1970-01-01: a Thursday
  const double second = unix_time - days * day_s;
  return (hours.days >> weekday & 1U) != 0 && second >= hours.begin_s && second < hours.end_s;
}

usd times(usd rate, rate_factor factor) {
  usd::units product = rate.count() * factor.first;
  for (int up = factor.second; up > 0; --up) product *= 10;
  // This is exact: the reader of the price list has checked it.
  for (int down = factor.second; down < 0; ++down) product /= 10;
  return usd::from_units(product);
}

token_rates times(token_rates rates, rate_factor factor) {
  for (std::size_t i = 0; i < token_kinds; ++i) {
    auto& rate = rates[static_cast<token_kind>(i)];
    if (rate) rate = times(*rate, factor);
  }
  return rates;
}

// The rates of a card for a prompt of this many tokens. If a step has an input rate but no cached
// rate, cached tokens get no discount.
token_rates rates_of(token_rates rates, const std::vector<rate_card::step>& steps,
                     std::int64_t prompt_tokens) {
  for (const auto& step : steps) {
    if (prompt_tokens <= step.above) break;
    if (step.rates[token_kind::input]) rates[token_kind::cached_input].reset();
    rates.set(step.rates);
  }
  return rates;
}

bool reaches_a_step(const rate_card& card, std::int64_t prompt_tokens) {
  return !card.steps.empty() && prompt_tokens > card.steps.front().above;
}

// Adds up the costs of the tokens of each kind.
class bill {
 public:
  explicit bill(const token_rates& rates) : rates_(rates) {}
  void add(token_kind kind, std::int64_t tokens) {
    if (tokens <= 0) return;
    if (const auto& rate = rates_[kind]) {
      sum_ += *rate * tokens;
    } else if (missing_.empty()) {
      missing_ = to_string(kind);
    }
  }
  usd sum() const noexcept { return sum_; }
  const std::string& missing() const noexcept { return missing_; }

 private:
  const token_rates& rates_;
  usd sum_;
  std::string missing_;
};

bill bill_of(const token_usage& usage, const token_rates& rates) {
  bill all(rates);
  // Images in the prompt of a chat count as plain input if the model has no rate for them.
  const std::int64_t images =
      rates[token_kind::image_input] ? usage.image_prompt_tokens : std::int64_t{0};
  const std::int64_t apart = usage.cached_tokens + usage.cache_write_tokens +
                             usage.cache_write_1h_tokens + usage.audio_prompt_tokens + images;
  all.add(token_kind::input, usage.prompt_tokens - apart);
  all.add(token_kind::cached_input, usage.cached_tokens);
  all.add(token_kind::cache_write, usage.cache_write_tokens);
  all.add(token_kind::cache_write_1h, usage.cache_write_1h_tokens);
  all.add(token_kind::audio_input, usage.audio_prompt_tokens);
  all.add(token_kind::image_input, images);
  const bool thought = usage.reasoning_tokens > 0 && rates[token_kind::output_thinking];
  all.add(thought ? token_kind::output_thinking : token_kind::output,
          usage.completion_tokens - usage.audio_completion_tokens - usage.image_completion_tokens);
  all.add(token_kind::audio_output, usage.audio_completion_tokens);
  all.add(token_kind::image_output, usage.image_completion_tokens);
  return all;
}

}  // namespace

std::string_view to_string(token_kind kind) noexcept {
  return kind_names[static_cast<std::size_t>(kind)];
}

void token_rates::set(const token_rates& over) {
  for (std::size_t kind = 0; kind < token_kinds; ++kind) {
    if (over.rates_[kind]) rates_[kind] = over.rates_[kind];
  }
}

const tier_prices* model_prices::find_tier(std::string_view name, double unix_time) const {
  auto found = tiers.find(name);
  // "fast" is OpenAI's other name for the priority tier (https://openai.com/api-fast-mode/).
  if (found == tiers.end() && name == "fast") found = tiers.find("priority");
  if (found == tiers.end()) return nullptr;
  const bool ended = found->second.until && unix_time >= *found->second.until + latest_day_begin_s;
  return ended ? nullptr : &found->second;
}

const tier_prices* model_prices::tier_of(const serving& how) const {
  if (is_usual_speed(how.speed)) return find_tier(how.tier, how.ended_unix);
  // The priority tier, OpenAI's "fast", is not a speed. No list says what a speed costs in a tier.
  const bool alone = is_standard(how.tier) || how.tier == how.speed;
  const bool listed = how.speed == "fast" && tiers.contains(how.speed);
  return alone && listed ? find_tier(how.speed, how.ended_unix) : nullptr;
}

token_rates model_prices::standard_rates(std::size_t changes_in_force, const rate_hours* open,
                                         std::int64_t prompt_tokens) const {
  token_rates rates = standard.base;
  for (std::size_t i = 0; i < changes_in_force; ++i) rates.set(changes[i].rates);
  if (open != nullptr) rates.set(open->rates);
  rates = rates_of(rates, standard.steps, prompt_tokens);
  if (!rates[token_kind::cached_input]) rates[token_kind::cached_input] = rates[token_kind::input];
  return rates;
}

token_rates model_prices::at_tier(const tier_prices& tier, token_rates rates,
                                  std::int64_t prompt_tokens) const {
  if (tier.times) return times(rates, *tier.times);
  if (tier.own.steps.empty() && reaches_a_step(standard, prompt_tokens)) return token_rates{};
  return rates_of(tier.own.base, tier.own.steps, prompt_tokens);
}

model_prices::priced model_prices::cost(const token_usage& usage, const serving& how) const {
  priced dearest_of_all;
  const double started = how.started_unix > 0 ? how.started_unix : how.ended_unix;
  const bool usual = is_standard(how.tier) && is_usual_speed(how.speed);
  const tier_prices* tier = usual ? nullptr : tier_of(how);
  if (!usual && tier == nullptr) return {std::nullopt, tier_named_in(how)};
  const bool anywhere = is_anywhere(how.geo);
  const auto place = anywhere ? geo.end() : geo.find(how.geo);
  if (!anywhere && place == geo.end())
    return {std::nullopt, fmt::format("inference_geo {}", how.geo)};
  const bool always_the_same = hours.empty() && changes.empty();
  for (const double moment : {started, how.ended_unix}) {
    const auto open = std::find_if(hours.begin(), hours.end(), [&](const rate_hours& window) {
      return is_open(window, moment);
    });
    for (const double calendar : {moment + earliest_day_begin_s, moment - latest_day_begin_s}) {
      const auto come = std::count_if(changes.begin(), changes.end(),
                                      [&](const rate_change& one) { return one.from <= calendar; });
      token_rates rates =
          standard_rates(static_cast<std::size_t>(come), open == hours.end() ? nullptr : &*open,
                         usage.prompt_tokens);
      if (tier != nullptr) rates = at_tier(*tier, rates, usage.prompt_tokens);
      if (!anywhere) rates = times(rates, place->second);
      const bill all = bill_of(usage, rates);
      if (!all.missing().empty()) {
        return {std::nullopt,
                usual ? all.missing() : fmt::format("{} at {}", all.missing(), tier_named_in(how))};
      }
      dearest_of_all.cost = larger(dearest_of_all.cost, all.sum());
      if (always_the_same) return dearest_of_all;
    }
  }
  return dearest_of_all;
}

std::optional<usd> model_prices::saved_by_cache(const token_usage& usage,
                                                const serving& how) const {
  if (!usage.uses_cache()) return usd{};
  token_usage without = usage;
  without.cached_tokens = 0;
  without.cache_write_tokens = 0;
  without.cache_write_1h_tokens = 0;
  auto saved = cost(without, how).cost;
  const auto paid = cost(usage, how).cost;
  if (!saved || !paid) return std::nullopt;
  *saved -= *paid;
  return saved;
}

std::optional<model_prices::bound> model_prices::dearest(std::int64_t most_prompt_tokens,
                                                         endpoint target,
                                                         std::string_view tier_name) const {
  if (!not_understood.empty()) return std::nullopt;
  const bool left_to_account = tier_name == "auto";
  const tier_prices* other = left_to_account          ? find_tier("priority", 0)
                             : is_standard(tier_name) ? nullptr
                                                      : find_tier(tier_name, 0);
  if (other == nullptr && !is_standard(tier_name)) return std::nullopt;
  auto most = dearest_at(nullptr, most_prompt_tokens, target);
  if (!most) return most;
  if (other != nullptr) {
    const auto at_other = dearest_at(other, most_prompt_tokens, target);
    if (!at_other) return std::nullopt;
    most->prompt = std::max(most->prompt, at_other->prompt);
    most->completion = std::max(most->completion, at_other->completion);
  }
  const bound anywhere = *most;
  for (const auto& [place, factor] : geo) {
    most->prompt = std::max(most->prompt, times(anywhere.prompt, factor));
    most->completion = std::max(most->completion, times(anywhere.completion, factor));
  }
  return most;
}

std::optional<model_prices::bound> model_prices::dearest_at(const tier_prices* tier,
                                                            std::int64_t most_prompt_tokens,
                                                            endpoint target) const {
  std::vector<std::int64_t> prompts{0};
  for (const rate_card* card : {&standard, tier != nullptr ? &tier->own : nullptr}) {
    if (card == nullptr) continue;
    for (const auto& step : card->steps) {
      if (most_prompt_tokens > step.above) prompts.push_back(step.above + 1);
    }
  }
  std::vector<const rate_hours*> windows{nullptr};
  for (const rate_hours& window : hours) windows.push_back(&window);

  std::optional<usd> prompt;
  std::optional<usd> completion;
  for (std::size_t come = 0; come <= changes.size(); ++come) {
    for (const rate_hours* open : windows) {
      for (const std::int64_t tokens : prompts) {
        const token_rates usual = standard_rates(come, open, tokens);
        token_rates rates = tier == nullptr ? usual : at_tier(*tier, usual, tokens);
        // If the prompt is too long for the tier, the higher rate of both tiers is used.
        if (rates == token_rates{}) {
          rates = at_tier(*tier, usual, 0);
          for (std::size_t i = 0; i < token_kinds; ++i) {
            const auto kind = static_cast<token_kind>(i);
            if (rates[kind]) rates[kind] = larger(rates[kind], usual[kind]);
          }
        }
        const auto& output = rates[token_kind::output];
        if (!rates[token_kind::input] || (!output && target != endpoint::embeddings))
          return std::nullopt;
        for (const token_kind kind :
             {token_kind::input, token_kind::cached_input, token_kind::cache_write,
              token_kind::cache_write_1h, token_kind::image_input}) {
          prompt = larger(prompt, rates[kind]);
        }
        for (const token_kind kind :
             {token_kind::output, token_kind::output_thinking, token_kind::image_output}) {
          completion = larger(completion, rates[kind]);
        }
      }
    }
  }
  return bound{*prompt, completion.value_or(usd{})};
}

bool model_prices::stale(double unix_now) const noexcept {
  if (!until || unix_now < *until + latest_day_begin_s) return false;
  return std::none_of(changes.begin(), changes.end(), [&](const rate_change& change) {
    return change.from >= *until && change.from <= unix_now;
  });
}

bool model_prices::serves(endpoint target) const noexcept {
  return standard.base[token_kind::input].has_value() &&
         (target == endpoint::embeddings || standard.base[token_kind::output].has_value());
}

}  // namespace sluice
