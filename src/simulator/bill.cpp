#include "simulator/bill.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace sluice::simulator {
namespace {

constexpr std::size_t decimal_places = 12;

/// Converts a price like "0.50" from dollars per million tokens to dollars per token.
usd per_token(const nlohmann::json& per_million, const std::string& model) {
  const auto amount =
      per_million.is_string() ? usd::parse(per_million.get<std::string>()) : std::optional<usd>{};
  if (!amount || amount->units % 1'000'000 != 0)
    throw std::runtime_error("the price list has no usable price for " + model);
  return {amount->units / 1'000'000};
}

}  // namespace

std::optional<usd> usd::parse(std::string_view text) {
  const auto point = std::min(text.find('.'), text.size());
  const auto whole = text.substr(0, point);
  const auto fraction = point < text.size() ? text.substr(point + 1) : std::string_view{};
  if (whole.empty() || whole.size() > 18 || fraction.size() > decimal_places ||
      (point < text.size() && fraction.empty()))
    return std::nullopt;
  usd sum;
  const auto append = [&](char digit) {
    sum.units = sum.units * 10 + (digit - '0');
    return digit >= '0' && digit <= '9';
  };
  if (!std::all_of(whole.begin(), whole.end(), append) ||
      !std::all_of(fraction.begin(), fraction.end(), append))
    return std::nullopt;
  for (auto place = fraction.size(); place < decimal_places; ++place) sum.units *= 10;
  return sum;
}

std::string usd::to_string() const {
  std::string digits;
  for (int128 rest = units < 0 ? -units : units; rest != 0; rest /= 10)
    digits.push_back(static_cast<char>('0' + static_cast<int>(rest % 10)));
  digits.resize(std::max(digits.size(), decimal_places + 1), '0');
  std::reverse(digits.begin(), digits.end());
  digits.insert(digits.size() - decimal_places, 1, '.');
  digits.erase(digits.find_last_not_of('0') + 1);
  if (digits.back() == '.') digits.pop_back();
  return units < 0 ? "-" + digits : digits;
}

token_usage& token_usage::operator+=(const token_usage& other) {
  prompt += other.prompt;
  cached += other.cached;
  completion += other.completion;
  reasoning += other.reasoning;
  return *this;
}

usd cost_of(const token_usage& usage, const price& price) {
  return {static_cast<int128>(usage.prompt - usage.cached) * price.input.units +
          static_cast<int128>(usage.cached) * price.cached_input.units +
          static_cast<int128>(usage.completion) * price.output.units};
}

price_list::price_list(std::string_view json) {
  const auto table = nlohmann::json::parse(json, nullptr, false);
  if (!table.is_object()) throw std::runtime_error("the price list is not a JSON object");
  for (const auto& [model, row] : table.items()) {
    price entry;
    entry.input = per_token(row.at("input"), model);
    const auto& cached = row.at("cached_input");
    entry.cached_input = cached.is_null() ? entry.input : per_token(cached, model);
    const auto& output = row.at("output");
    entry.output = output.is_null() ? usd{} : per_token(output, model);
    prices_.emplace(model, entry);
  }
}

const price* price_list::find(std::string_view model) const {
  const auto found = prices_.find(model);
  return found == prices_.end() ? nullptr : &found->second;
}

}  // namespace sluice::simulator
