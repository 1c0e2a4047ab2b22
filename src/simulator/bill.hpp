// What the relay charges. It has its own price list and its own exact arithmetic, so that tests can
// compare a client's totals with them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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

/// A price list as the program ships it (format 2; docs/prices.md). The relay sells only the
/// standard tier. The price of a request depends on its arrival time and on the size of its prompt.
class price_list {
 public:
  /// Reads the text of a price list; throws std::runtime_error if it is malformed.
  explicit price_list(std::string_view json);

  /// The price of a short prompt outside of peak hours; null: the list does not have the model.
  const price* find(std::string_view model) const;
  /// The price of one request; nullopt: the list does not have the model.
  std::optional<price> at(std::string_view model, std::uint64_t prompt_tokens,
                          std::int64_t unix_seconds) const;
  const std::map<std::string, price, std::less<>>& models() const { return prices_; }

 private:
  struct step {
    std::uint64_t above;
    price rates;
  };
  struct window {
    std::int64_t from, begin, end;  // seconds
    bool weekends;
    price rates;
  };
  struct change {
    std::int64_t from;
    price rates;
  };
  struct exceptions {
    std::vector<step> steps;
    std::vector<window> windows;
    std::vector<change> changes;
  };

  std::map<std::string, price, std::less<>> prices_;
  std::map<std::string, exceptions, std::less<>> exceptions_;
};

}  // namespace sluice::simulator
