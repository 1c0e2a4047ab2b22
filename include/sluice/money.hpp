#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "sluice/usage.hpp"

namespace sluice {

/// An exact amount of US dollars: a whole number of 1e-18 USD. That holds any price of a token
/// given with up to twelve decimals per million, and sums up to 1e18 USD. Never a binary fraction.
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
    value_ += other.value_;
    return *this;
  }
  constexpr usd& operator-=(usd other) noexcept {
    value_ -= other.value_;
    return *this;
  }
  friend constexpr usd operator+(usd a, usd b) noexcept { return usd{a.value_ + b.value_}; }
  friend constexpr usd operator*(usd a, std::int64_t n) noexcept { return usd{a.value_ * n}; }
  friend constexpr bool operator==(usd, usd) = default;
  friend constexpr std::strong_ordering operator<=>(usd a, usd b) noexcept {
    return a.value_ < b.value_   ? std::strong_ordering::less
           : a.value_ > b.value_ ? std::strong_ordering::greater
                                 : std::strong_ordering::equal;
  }

 private:
  constexpr explicit usd(units value) : value_(value) {}
  units value_ = 0;
};

/// What one token costs.
struct token_price {
  usd input;
  usd cached_input;  ///< the input price where a model has no discount
  usd output;

  /// (prompt − cached)·input + cached·cached_input + completion·output
  usd cost(const token_usage& usage) const noexcept;
};

/// Prices by the model's name as a job asks for it. A model that is not in it has no price: unknown
/// is never zero. Immutable once filled; safe to read from any thread.
class price_table {
 public:
  /// The table that the program ships.
  static price_table built_in();

  /// Adds to the table, or replaces in it, what a JSON document of the same form says. `origin`
  /// names the document in the fatal_error that a fault in it throws.
  void merge(std::string_view json, std::string_view origin);

  /// Multiplies every price by a decimal such as "0.8". Throws fatal_error when it is no positive
  /// decimal, or when a product is not exact.
  void multiply(std::string_view factor);

  const token_price* find(std::string_view model) const;
  /// The most tokens that a reply of the model has; nothing where that is unknown.
  std::optional<std::int64_t> output_limit(std::string_view model) const;

 private:
  std::map<std::string, token_price, std::less<>> prices_;
  std::map<std::string, std::int64_t, std::less<>> output_limits_;
};

/// What each relay of a run charges. Immutable once filled; safe to read from any thread.
class relay_prices {
 public:
  /// `usual`: of every relay that has none of its own.
  relay_prices(price_table usual = {}) : usual_(std::move(usual)) {}  // NOLINT: it is one of these
  void set(const std::string& relay, price_table own) { own_[relay] = std::move(own); }
  const token_price* find(std::string_view relay, std::string_view model) const {
    const auto own = own_.find(relay);
    return own == own_.end() ? usual_.find(model) : own->second.find(model);
  }
  /// At least what any of the relays charges for the model; nothing when one has no price for it.
  std::optional<token_price> dearest(std::string_view model) const;
  std::optional<std::int64_t> output_limit(std::string_view model) const {
    return usual_.output_limit(model);
  }

 private:
  price_table usual_;
  std::map<std::string, price_table, std::less<>> own_;
};

}  // namespace sluice
