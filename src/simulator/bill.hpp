// What the relay charges: its own price list and its own exact sums, so that a client's totals can
// be held against them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::simulator {

__extension__ typedef __int128 int128;

/// An exact sum of US dollars, in units of 1e-12: one token at the finest price of the list
/// (1e-6 USD per million) is one unit.
struct usd {
  int128 units = 0;

  /// Reads a plain decimal ("0.05", "12"), at most twelve places; empty when it is not one.
  static std::optional<usd> parse(std::string_view text);
  /// Canonical decimal: no exponent, no trailing zeros, "0" for zero.
  std::string to_string() const;

  usd& operator+=(usd other) {
    units += other.units;
    return *this;
  }
  usd& operator-=(usd other) {
    units -= other.units;
    return *this;
  }
  friend bool operator==(usd a, usd b) { return a.units == b.units; }
  friend bool operator<(usd a, usd b) { return a.units < b.units; }
};

/// `cached` is part of `prompt`, `reasoning` is part of `completion`.
struct token_usage {
  std::uint64_t prompt = 0;
  std::uint64_t cached = 0;
  std::uint64_t completion = 0;
  std::uint64_t reasoning = 0;

  std::uint64_t total() const { return prompt + completion; }
  token_usage& operator+=(const token_usage& other);
};

/// The price of one token of each kind.
struct price {
  usd input;
  usd cached_input;
  usd output;
};

usd cost_of(const token_usage& usage, const price& price);

class price_list {
 public:
  /// Reads the text of a price table; throws std::runtime_error when it is not one.
  explicit price_list(std::string_view json);

  /// Null when the list doesn't have the model.
  const price* find(std::string_view model) const;
  const std::map<std::string, price, std::less<>>& models() const { return prices_; }

 private:
  std::map<std::string, price, std::less<>> prices_;
};

}  // namespace sluice::simulator
