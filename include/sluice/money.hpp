#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

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
  /// Reads a JSON number such as "1.4e-05" and rounds it half up to 1e-18 USD. It is for amounts
  /// that other programs computed as binary fractions. Nothing if it is negative, too large, or not
  /// a number.
  static std::optional<usd> nearest(std::string_view json_number);
  /// Writes the canonical form: no exponent, no trailing zeros; zero is "0".
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

}  // namespace sluice
