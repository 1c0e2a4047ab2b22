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

/// An exact amount of US dollars: a whole number of 1e-18 USD. That holds any price of a token
/// given with up to twelve decimals per million. Sums end at 1e19 USD, on either side, and never
/// wrap. Never a binary fraction.
class usd {
 public:
  __extension__ using units = __int128;
  static constexpr int decimals = 18;

  constexpr usd() = default;
  static constexpr usd from_units(units value) noexcept { return usd{value}; }
  constexpr units count() const noexcept { return value_; }

  /// Reads digits with an optional decimal point: "0.008". Nothing when it is not that, or not
  /// exact in 1e-18 USD.
  static std::optional<usd> parse(std::string_view text);
  /// Reads a number as JSON has it, "1.4e-05" too, rounded half up to 1e-18 USD: for what others
  /// counted in binary fractions. Nothing when it is negative, or no number of a sane size.
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
  // Two of them still fit into the units.
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
  usd cached_input;  ///< the input price where a model has no discount
  usd output;

  /// (prompt − cached)·input + cached·cached_input + completion·output. Does not overflow for
  /// counts of up to 2^53 at the prices that a table takes.
  usd cost(const token_usage& usage) const noexcept;
};

/// What a price table says of a model: USD per token.
struct listed_price {
  usd input;
  std::optional<usd> cached_input;  ///< nothing: no discount is known, input price
  std::optional<usd> output;        ///< nothing: unknown

  /// Embeddings have no output, and need no price for it; elsewhere a model without one has no
  /// price.
  std::optional<token_price> at(endpoint target) const noexcept;
};

/// How many tokens a model takes and gives; nothing where that is unknown.
struct model_limits {
  std::optional<std::int64_t> input;   ///< the most that a prompt has
  std::optional<std::int64_t> output;  ///< the most that a reply has
};

/// Prices by the model's name as a job asks for it. A model that is not in it has no price: unknown
/// is never zero. Immutable once filled; safe to read from any thread.
///
/// A name finds the first of these that the table has, and no other:
///  1. the name itself;
///  2. the name without the segments before its slashes, one after the other:
///     "openrouter/openai/gpt-4o", "openai/gpt-4o", "gpt-4o";
///  3. where it ends as Vertex AI writes a snapshot, "@20240806", the same of the name with
///     "-20240806";
///  4. the same of the name without the date of its snapshot, "-2024-08-06" or "-20240806".
/// An entry that says null counts as found: it makes the model unknown, whatever its other names
/// cost. What may change the price is never dropped: four digits (gpt-3.5-turbo-0301 costs thrice
/// gpt-3.5-turbo), "-latest" (chatgpt-4o-latest costs twice gpt-4o), what follows a colon
/// ("openai/gpt-4o:free"). A fine-tuned model ("ft:gpt-4o-mini-2024-07-18:org::id", behind a slash,
/// too) costs more than its base, and is known by its whole name alone. A common beginning means
/// nothing.
class price_table {
 public:
  /// The most that a token may cost: a table with a dearer one is refused.
  static constexpr usd dearest_token = usd::from_units(1'000'000'000'000'000'000);

  /// The table that the program ships.
  static price_table built_in();
  /// The day that table was taken, as YYYY-MM-DD.
  static std::string_view built_in_date() noexcept;

  /// Adds to the table, or replaces in it, what a JSON document says. It is of one of two forms:
  ///  - this program's own, {"MODEL": {"input", "cached_input", "output", "max_input_tokens",
  ///    "max_output_tokens"}}: prices in USD per million tokens as decimal strings, exact to twelve
  ///    places, null where there is none; null as input: the model's price is unknown;
  ///  - litellm's model_prices_and_context_window.json, told by an entry's "input_cost_per_token":
  ///    prices in USD per token as JSON numbers, of which the text counts and not a double. What is
  ///    finer than 1e-18 USD is rounded up. A model whose tokens cost 0 there is unknown, like
  ///    one that is billed by anything else.
  /// Limits that an entry does not give stay as they are. `origin` names the document in the
  /// fatal_error that a fault in it throws; the table is then as it was.
  void merge(std::string_view json, std::string_view origin);

  /// Lays the other table over this one in the same way.
  void merge(const price_table& over);

  /// Adds one model, or replaces it; without a price it is unknown.
  void set(std::string model, const std::optional<listed_price>& price,
           const model_limits& limits = {});

  /// Multiplies every price by a decimal such as "0.8". Throws fatal_error when it is no positive
  /// decimal, or when a product is not exact: what a person types can be rounded by them.
  void multiply(std::string_view factor);

  /// What the model's tokens cost at the endpoint; nothing where that is unknown.
  std::optional<token_price> find(std::string_view model, endpoint target) const;
  /// What the table says of the model, to show it; null where it has no price.
  const listed_price* listed(std::string_view model) const;
  /// Of the entry that the name finds, priced or not.
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

/// What each relay of a run charges. Immutable once filled; safe to read from any thread.
class relay_prices {
 public:
  /// `usual`: of every relay that has none of its own.
  relay_prices(price_table usual = {}) : usual_(std::move(usual)) {}  // NOLINT: it is one of these
  void set(const std::string& relay, price_table own) { own_[relay] = std::move(own); }
  std::optional<token_price> find(std::string_view relay, std::string_view model,
                                  endpoint target) const {
    return of(relay).find(model, target);
  }
  const listed_price* listed(std::string_view relay, std::string_view model) const {
    return of(relay).listed(model);
  }
  /// At least what any of the relays charges for the model; nothing when one has no price for it.
  std::optional<token_price> dearest(std::string_view model, endpoint target) const;
  model_limits limits(std::string_view model) const { return usual_.limits(model); }
  /// Says that a relay serves another model under that name: its tokens may be others.
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
