#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "sluice/endpoint.hpp"
#include "sluice/usage.hpp"

namespace sluice {

/// An exact amount of US dollars, as a whole number of 1e-18 USD: enough for a token price with up
/// to twelve decimals per million tokens. Never a binary fraction. Sums are limited to ±1e19 USD
/// and never overflow.
class usd {
 public:
  __extension__ using units = __int128;
  static constexpr int decimals = 18;

  constexpr usd() = default;
  static constexpr usd from_units(units value) noexcept { return usd{value}; }
  constexpr units count() const noexcept { return value_; }

  /// Reads digits with an optional decimal point: "0.008". Nothing for any other text, or if the
  /// value is not exact in 1e-18 USD.
  static std::optional<usd> parse(std::string_view text);
  /// Reads a JSON number such as "1.4e-05", rounded half up to 1e-18 USD: for amounts that others
  /// computed in binary fractions. Nothing if it is negative, too large, or not a number.
  static std::optional<usd> nearest(std::string_view json_number);
  /// Canonical: no exponent, no trailing zeros; zero is "0".
  std::string to_string() const;

  constexpr usd& operator+=(usd other) noexcept {
    value_ = within_bounds(value_ + other.value_);
    return *this;
  }
  constexpr usd& operator-=(usd other) noexcept {
    value_ = within_bounds(value_ - other.value_);
    return *this;
  }
  friend constexpr usd operator+(usd a, usd b) noexcept { return a += b; }
  friend constexpr usd operator*(usd a, std::int64_t n) noexcept {
    units product = 0;
    const bool too_much = __builtin_mul_overflow(a.value_, n, &product);
    return usd{too_much ? ((a.value_ < 0) == (n < 0) ? most : -most) : within_bounds(product)};
  }
  friend constexpr bool operator==(usd, usd) = default;
  friend constexpr std::strong_ordering operator<=>(usd a, usd b) noexcept {
    return a.value_ < b.value_   ? std::strong_ordering::less
           : a.value_ > b.value_ ? std::strong_ordering::greater
                                 : std::strong_ordering::equal;
  }

 private:
  // The sum of two such values still fits into `units`.
  static constexpr units most = units{10'000'000'000'000'000'000U} * 1'000'000'000'000'000'000;

  static constexpr units within_bounds(units value) noexcept {
    return value > most ? most : value < -most ? -most : value;
  }
  constexpr explicit usd(units value) : value_(value) {}
  units value_ = 0;
};

/// What one token costs at an endpoint.
struct token_price {
  usd input;
  usd cached_input;  ///< equal to `input` if the model has no discount
  usd output;

  /// (prompt − cached)·input + cached·cached_input + completion·output. Does not overflow for
  /// counts up to 2^53 and prices up to price_table::dearest_token.
  usd cost(const token_usage& usage) const noexcept;
};

/// A model's entry in a price table: USD per token.
struct listed_price {
  usd input;
  std::optional<usd> cached_input;  ///< nothing: no known discount, the input price applies
  std::optional<usd> output;        ///< nothing: unknown

  /// Nothing if the output price is missing, except for embeddings, which have no output.
  std::optional<token_price> at(endpoint target) const noexcept;
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
///  1. the name itself;
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
  /// The highest token price that a table may contain.
  static constexpr usd dearest_token = usd::from_units(1'000'000'000'000'000'000);

  /// The table that is built into the program.
  static price_table built_in();
  /// The date of its prices, as YYYY-MM-DD.
  static std::string_view built_in_date() noexcept;

  /// Adds or replaces the entries of a JSON document. It has one of two forms:
  ///  - this program's own, {"MODEL": {"input", "cached_input", "output", "max_input_tokens",
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
  void merge(const price_table& over);

  /// Adds or replaces one model; without a price it is unknown.
  void set(std::string model, const std::optional<listed_price>& price,
           const model_limits& limits = {});

  /// Multiplies every price by a decimal such as "0.8". Throws fatal_error if the factor is not a
  /// positive decimal, or if a product is not exact; the user can then round the factor.
  void multiply(std::string_view factor);

  /// The token price of the model at the endpoint; nothing: unknown.
  std::optional<token_price> find(std::string_view model, endpoint target) const;
  /// The model's entry, for display; null: no price.
  const listed_price* listed(std::string_view model) const;
  /// The limits in the model's entry, even if it has no price.
  model_limits limits(std::string_view model) const;

 private:
  struct entry {
    std::optional<listed_price> price;
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
  std::optional<token_price> find(std::string_view relay, std::string_view model,
                                  endpoint target) const {
    return of(relay).find(model, target);
  }
  const listed_price* listed(std::string_view relay, std::string_view model) const {
    return of(relay).listed(model);
  }
  /// An upper bound of the prices of all relays for the model; nothing if one has no price for it.
  std::optional<token_price> dearest(std::string_view model, endpoint target) const;
  model_limits limits(std::string_view model) const { return usual_.limits(model); }
  /// A relay serves another model under this name, whose tokenizer may be different.
  void set_renamed(std::string model) { renamed_.insert(std::move(model)); }
  bool is_renamed(std::string_view model) const { return renamed_.contains(model); }

 private:
  const price_table& of(std::string_view relay) const {
    const auto own = own_.find(relay);
    return own == own_.end() ? usual_ : own->second;
  }

  price_table usual_;
  std::map<std::string, price_table, std::less<>> own_;
  std::set<std::string, std::less<>> renamed_;
};

}  // namespace sluice
