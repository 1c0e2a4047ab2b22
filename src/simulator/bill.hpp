// What the relay charges. It has its own price list and its own exact arithmetic, so that tests can
// compare a client's totals with them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::simulator {

__extension__ typedef __int128 int128;

/// An exact amount of US dollars, in units of 1e-12 USD. The smallest price in the list (1e-6 USD
/// per million tokens) makes one token cost one unit.
struct usd {
  int128 units = 0;

  /// Reads a plain decimal ("0.05", "12") with at most twelve decimal places; empty for other text.
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

/// Token counts. `prompt` includes `cached`, and `completion` includes `reasoning`.
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

/// The prices of all models. Immutable, so thread safe.
class price_list {
 public:
  /// Reads a price table in JSON; throws std::runtime_error if it is malformed.
  explicit price_list(std::string_view json);

  /// Null if the list does not have the model.
  const price* find(std::string_view model) const;
  const std::map<std::string, price, std::less<>>& models() const { return prices_; }

 private:
  std::map<std::string, price, std::less<>> prices_;
};

}  // namespace sluice::simulator
