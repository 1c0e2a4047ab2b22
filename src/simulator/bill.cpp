#include "simulator/bill.hpp"

#include <algorithm>
#include <ctime>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

namespace sluice::simulator {
namespace {

constexpr std::size_t decimal_places = 12;
constexpr std::int64_t day_seconds = 86'400;

/// Converts a price like "0.50" from dollars per million tokens to dollars per token.
usd per_token(const nlohmann::json& per_million, const std::string& model) {
  const auto amount =
      per_million.is_string() ? usd::parse(per_million.get<std::string>()) : std::optional<usd>{};
  if (!amount || amount->units % 1'000'000 != 0)
    throw std::runtime_error("the price list has no usable price for " + model);
  return {amount->units / 1'000'000};
}

price price_in(const nlohmann::json& row, const std::string& model) {
  price read;
  read.input = per_token(row.at("input"), model);
  read.cached_input =
      row.contains("cached_input") ? per_token(row.at("cached_input"), model) : read.input;
  if (row.contains("output")) read.output = per_token(row.at("output"), model);
  return read;
}

/// "2026-12-01" or "2026-08-16T16:00:00Z", as seconds since the epoch.
std::int64_t seconds_of(const std::string& text) {
  std::tm moment{};
  std::istringstream in(text);
  in >> std::get_time(&moment, text.size() > 10 ? "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%d");
  if (in.fail()) throw std::runtime_error("the price list has no usable time: " + text);
  return timegm(&moment);
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
  const auto document = nlohmann::json::parse(json, nullptr, false);
  if (!document.is_object() || document.value("format", 0) != 2)
    throw std::runtime_error("the price list is no JSON object of format 2");
  const auto each = [](const nlohmann::json& row, const char* name, const auto& visit) {
    if (const auto found = row.find(name); found != row.end()) {
      for (const auto& element : *found) visit(element);
    }
  };
  for (const auto& entry : document.at("models").items()) {
    const std::string& model = entry.key();
    const nlohmann::json& row = entry.value();
    const price base = price_in(row, model);
    exceptions others;
    each(row, "above", [&](const nlohmann::json& one) {
      others.steps.push_back({one.at("input_tokens"), price_in(one, model)});
    });
    each(row, "next", [&](const nlohmann::json& one) {
      others.changes.push_back({seconds_of(one.at("from")), price_in(one, model)});
    });
    each(row, "hours", [&](const nlohmann::json& one) {
      const std::string utc = one.at("utc");
      const auto clock = [&](std::size_t place) {
        return (std::stoi(utc.substr(place, 2)) * 60 + std::stoi(utc.substr(place + 3, 2))) * 60;
      };
      others.windows.push_back({seconds_of(one.at("from")), clock(0), clock(6),
                                one.at("days") != "mon-fri", price_in(one, model)});
    });
    std::vector<std::string> names{model};
    each(row, "aliases", [&](const nlohmann::json& alias) { names.push_back(alias); });
    for (const auto& name : names) {
      prices_.emplace(name, base);
      exceptions_.emplace(name, others);
    }
  }
}

std::optional<price> price_list::at(std::string_view model, std::uint64_t prompt_tokens,
                                    std::int64_t unix_seconds) const {
  const price* base = find(model);
  if (base == nullptr) return std::nullopt;
  price now = *base;
  const exceptions& others = exceptions_.find(model)->second;
  for (const auto& one : others.changes) {
    if (unix_seconds >= one.from) now = one.rates;
  }
  const std::int64_t day = unix_seconds / day_seconds;
  const std::int64_t second = unix_seconds % day_seconds;
  const bool weekend = (day + 4) % 7 == 0 || (day + 4) % 7 == 6;  // 1970-01-01 was a Thursday
  for (const auto& one : others.windows) {
    if (unix_seconds >= one.from && second >= one.begin && second < one.end &&
        (one.weekends || !weekend))
      now = one.rates;
  }
  for (const auto& one : others.steps) {
    if (prompt_tokens > one.above) now = one.rates;
  }
  return now;
}

const price* price_list::find(std::string_view model) const {
  const auto found = prices_.find(model);
  return found == prices_.end() ? nullptr : &found->second;
}

}  // namespace sluice::simulator
