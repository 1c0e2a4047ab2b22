#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/endpoint.hpp"
#include "sluice/money.hpp"
#include "sluice/usage.hpp"

namespace sluice {

/// The kinds of tokens that have a rate of their own.
enum class token_kind : std::uint8_t {
  input,            ///< prompt tokens that are neither read from the cache nor written to it
  cached_input,     ///< read from the cache
  cache_write,      ///< written to the cache with its usual lifetime
  cache_write_1h,   ///< written to the cache with a lifetime of one hour
  output,           ///< of the reply
  output_thinking,  ///< the whole reply, if the model reasoned first
  audio_input,
  audio_output,
  image_input,
  image_output,
};
constexpr std::size_t token_kinds = 10;

/// The name of the kind's rate in a price list, e.g. "cached_input".
std::string_view to_string(token_kind kind) noexcept;

/// USD per token, by kind; nothing: the rate is unknown, which is never zero. Not thread safe.
class token_rates {
 public:
  std::optional<usd>& operator[](token_kind kind) {
    return rates_.at(static_cast<std::size_t>(kind));
  }
  const std::optional<usd>& operator[](token_kind kind) const {
    return rates_.at(static_cast<std::size_t>(kind));
  }
  /// Replaces the rates that the other set has.
  void set(const token_rates& over);
  friend bool operator==(const token_rates&, const token_rates&) = default;

 private:
  std::array<std::optional<usd>, token_kinds> rates_;
};

/// Rates, and the rates that replace them for long prompts.
struct rate_card {
  /// For prompts of more than `above` tokens. Its rates replace the earlier ones for every token of
  /// the request.
  struct step {
    std::int64_t above = 0;
    token_rates rates;
  };
  token_rates base;
  std::vector<step> steps;  ///< ascending
};

/// A factor on rates: digits · 10^exponent, where the exponent is at most 0.
using rate_factor = std::pair<std::int64_t, int>;

/// A service tier: rates of its own, or a factor on those of the standard tier.
struct tier_prices {
  rate_card own;
  std::optional<rate_factor> times;  ///< `own` is empty then
  /// Seconds since the epoch: the end of the last day on which it is valid.
  std::optional<double> until;
};

/// Rates that apply at certain hours on certain days of the week, in UTC.
struct rate_hours {
  int begin_s = 0;           ///< seconds of the day; included
  int end_s = 0;             ///< not included
  std::uint8_t days = 0x7F;  ///< bit 0: Sunday
  double from = 0;           ///< seconds since the epoch
  token_rates rates;
};

/// Rates that are announced to apply from a certain day on.
struct rate_change {
  double from = 0;  ///< seconds since the epoch: when that day begins in UTC
  token_rates rates;
};

/// The facts about a reply, besides its usage, that its price depends on.
struct serving {
  std::string tier = {};    ///< as the relay names it; empty, "default", "standard": standard
  double started_unix = 0;  ///< seconds since the epoch; 0: the same as the end
  double ended_unix = 0;
  /// Anthropic's speed. "fast" is the tier "fast" of the price list; empty, "standard": none. No
  /// other speed has a known price.
  std::string speed = {};
  /// Anthropic's inference_geo: where the model ran. Empty, "global", "not_available": anywhere.
  std::string geo = {};
};

/// The prices of a model: the cost of a reply is a function of its usage, the tier that served it,
/// and the time. Immutable once filled; then safe to read from any thread.
///
/// The rates start from the base. Announced changes, hours, steps and the tier then replace them,
/// in this order; the place where the model ran multiplies them. Hours and changes are looked up
/// both at the start and at the end of the attempt, and the higher cost counts. No provider says at
/// which hour a day begins, so from 14 hours before to 12 hours after midnight UTC the higher of
/// the two prices counts.
class model_prices {
 public:
  rate_card standard;
  std::vector<rate_change> changes;  ///< ascending
  std::vector<rate_hours> hours;
  std::map<std::string, tier_prices, std::less<>> tiers;  ///< by name
  std::map<std::string, rate_factor, std::less<>> geo;    ///< by the place where the model runs
  /// The end of the last day for which the rates are promised, in seconds since the epoch.
  std::optional<double> until;
  /// A field of a price list that may be a cost and that this program does not know; empty: none.
  /// If there is one, dearest() is unknown, so that no budget relies on the prices.
  std::string not_understood;

  /// The cost of a reply. If it has none, `missing` names what has no rate, such as "cache_write"
  /// "service_tier turbo" or "inference_geo us".
  struct priced {
    std::optional<usd> cost;
    std::string missing;
  };
  priced cost(const token_usage& usage, const serving& how) const;
  /// What the provider's cache saved: the cost that the reply would have without it, minus its
  /// cost. Below zero if the writes cost more than the reads saved. Nothing: unknown.
  std::optional<usd> saved_by_cache(const token_usage& usage, const serving& how) const;

  /// The highest price of one token of a prompt, and of a reply.
  struct bound {
    usd prompt;
    usd completion;
  };
  /// The highest rates that can apply to a request for this tier: over every step that its prompt
  /// can reach, at any hour, before and after every change. Relays that ignore the tier serve the
  /// standard tier, so its rates count too. "auto" leaves the tier to the account, so the priority
  /// tier counts as well if the model has one. The account may also choose the place, so the
  /// highest factor of `geo` counts. Nothing: a rate is unknown.
  std::optional<bound> dearest(std::int64_t most_prompt_tokens, endpoint target,
                               std::string_view tier) const;

  /// True if the rates are past `until` and no announced change has replaced them.
  bool stale(double unix_now) const noexcept;
  /// Whether it has the rates that the endpoint needs: a rate for input, and one for output except
  /// for embeddings.
  bool serves(endpoint target) const noexcept;
  /// Calls visit(token_rates&) for each set of rates.
  template <typename Visit>
  void each_rates(Visit&& visit) {
    visit(standard.base);
    for (auto& step : standard.steps) visit(step.rates);
    for (auto& change : changes) visit(change.rates);
    for (auto& hour : hours) visit(hour.rates);
    for (auto& [name, tier] : tiers) {
      visit(tier.own.base);
      for (auto& step : tier.own.steps) visit(step.rates);
    }
  }

 private:
  // With the first `changes_in_force` changes, inside the window `open` (null: outside all
  // windows).
  token_rates standard_rates(std::size_t changes_in_force, const rate_hours* open,
                             std::int64_t prompt_tokens) const;
  // The rates of the tier, computed from the standard ones. All are unknown if the tier has no
  // rates for such a long prompt.
  token_rates at_tier(const tier_prices& tier, token_rates rates, std::int64_t prompt_tokens) const;
  const tier_prices* find_tier(std::string_view name, double unix_time) const;
  // The tier that is not the standard one; null: it has no known price.
  const tier_prices* tier_of(const serving& how) const;
  // The bound at one tier; null: at the standard tier.
  std::optional<bound> dearest_at(const tier_prices* tier, std::int64_t most_prompt_tokens,
                                  endpoint target) const;
};

/// The largest number of tokens in a prompt and in a reply; nothing: unknown.
struct model_limits {
  std::optional<std::int64_t> input;
  std::optional<std::int64_t> output;
};

/// Prices by model name. A model that is not in the table has no price; unknown never means zero.
/// Immutable once filled; then safe to read from any thread.
///
/// A lookup tries these names in order and takes the first one that the table has:
///  1. the name itself, or an alias;
///  2. the name without its path segments, removed one by one from the left:
///     "openrouter/openai/gpt-4o", "openai/gpt-4o", "gpt-4o";
///  3. if it ends like a Vertex AI snapshot, "@20240806": 1 and 2 with "-20240806" instead;
///  4. 1 and 2 for the name without the date of its snapshot, "-2024-08-06" or "-20240806".
/// A null entry counts as a match: the model is then unknown, and no other name is tried. Parts of
/// the name that may change the price are never removed: four digits (gpt-3.5-turbo-0301 costs
/// three times as much as gpt-3.5-turbo), "-latest" (chatgpt-4o-latest costs twice as much as
/// gpt-4o), a suffix after a colon ("openai/gpt-4o:free"). A fine-tuned model
/// ("ft:gpt-4o-mini-2024-07-18:org::id", also after a slash) costs more than its base model, so
/// only its whole name is looked up. There is no prefix match.
class price_table {
 public:
  /// The highest price of one token that a table may contain.
  static constexpr usd dearest_token = usd::from_units(1'000'000'000'000'000'000);

  /// The table that is built into the program.
  static price_table built_in();
  /// The date of its newest price, as YYYY-MM-DD.
  static std::string_view built_in_date() noexcept;

  /// Adds or replaces the entries of a JSON document. It has one of three forms:
  ///  - this program's own, {"format": 2, "models": {...}}; see docs/prices.md;
  ///  - a short one, {"MODEL": {"input", "cached_input", "output", "max_input_tokens",
  ///    "max_output_tokens"}}: prices in USD per million tokens, as decimal strings with up to
  ///    twelve decimals; null: no price. If `input` is null, the model's price is unknown;
  ///  - litellm's model_prices_and_context_window.json, recognized by "input_cost_per_token" in an
  ///    entry: prices in USD per token, as JSON numbers. They are parsed as text, not as doubles,
  ///    and rounded up to 1e-18 USD. A model with a price of 0, or with another unit of billing,
  ///    is unknown.
  /// Limits that are missing in an entry stay unchanged. On an error it throws fatal_error, whose
  /// message names the document as `origin`; the table is then unchanged.
  void merge(std::string_view json, std::string_view origin);

  /// Adds or replaces the entries of the other table.
  void merge(price_table over);

  /// Adds or replaces one model; without a price it is unknown.
  void set(std::string model, std::optional<model_prices> price, const model_limits& limits = {});

  /// Multiplies every rate by a decimal such as "0.8". Throws fatal_error if the factor is not a
  /// positive decimal, or if a product is not exact; the user can then round the factor.
  void multiply(std::string_view factor);

  /// The prices of the model at the endpoint; null: unknown.
  const model_prices* find(std::string_view model, endpoint target) const;
  /// The model's entry, for display; null: no price.
  const model_prices* listed(std::string_view model) const;
  /// The limits in the model's entry, even if it has no price.
  model_limits limits(std::string_view model) const;
  /// Names that are written nearly like this one, the nearest first: at most three.
  std::vector<std::string> nearest(std::string_view model) const;

 private:
  struct entry {
    std::optional<model_prices> price;
    model_limits limits;
  };

  const entry* find_entry(std::string_view model) const;
  const entry* find_behind_slashes(std::string_view model) const;

  std::map<std::string, entry, std::less<>> entries_;
};

/// The prices of each relay of a run. Immutable once filled; then safe to read from any thread.
class relay_prices {
 public:
  /// `usual`: for every relay without a table of its own.
  relay_prices(price_table usual = {}) : usual_(std::move(usual)) {}  // NOLINT: implicit on purpose
  void set(const std::string& relay, price_table own) { own_[relay] = std::move(own); }
  const model_prices* find(std::string_view relay, std::string_view model, endpoint target) const {
    return of(relay).find(model, target);
  }
  const model_prices* listed(std::string_view relay, std::string_view model) const {
    return of(relay).listed(model);
  }
  /// Whether the relay has a price for the model; without a relay, whether all have one.
  bool has(std::optional<std::string_view> relay, std::string_view model, endpoint target) const;
  /// The highest rates of the model at the relay, or at any relay; see model_prices::dearest().
  /// Nothing if one of them is unknown.
  std::optional<model_prices::bound> dearest(std::optional<std::string_view> relay,
                                             std::string_view model,
                                             std::int64_t most_prompt_tokens, endpoint target,
                                             std::string_view tier) const;
  /// model_prices::not_understood of the first relay that has one.
  std::string_view not_understood(std::string_view model) const;
  model_limits limits(std::string_view model) const { return usual_.limits(model); }
  /// Text such as " (did you mean gpt-4o, gpt-4?)" for a model that the list does not have; empty
  /// if no name is similar.
  std::string did_you_mean(std::string_view model) const;
  /// Records that a relay serves another model under this name, whose tokenizer may be different.
  void set_renamed(std::string model) { renamed_.insert(std::move(model)); }
  bool is_renamed(std::string_view model) const { return renamed_.contains(model); }

 private:
  const price_table& of(std::string_view relay) const {
    const auto own = own_.find(relay);
    return own == own_.end() ? usual_ : own->second;
  }
  // Calls `visit` for the table of the relay, or for all tables.
  template <typename Visit>
  void each(std::optional<std::string_view> relay, Visit&& visit) const {
    if (relay) return visit(of(*relay));
    visit(usual_);
    for (const auto& [name, table] : own_) visit(table);
  }

  price_table usual_;
  std::map<std::string, price_table, std::less<>> own_;
  std::set<std::string, std::less<>> renamed_;
};

}  // namespace sluice
