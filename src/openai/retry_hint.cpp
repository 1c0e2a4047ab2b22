#include "openai/retry_hint.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <ctime>
#include <iomanip>
#include <locale>
#include <sstream>
#include <string>
#include <utility>

namespace sluice::openai {
namespace {

using std::chrono::nanoseconds;
using hint = std::optional<nanoseconds>;

/// Nothing waits longer; keeps the arithmetic in range.
constexpr double longest_seconds = 1e9;

/// No time at all is no hint.
hint from_seconds(double seconds) {
  if (!std::isfinite(seconds) || seconds <= 0) return std::nullopt;
  const nanoseconds wait(std::llround(std::min(seconds, longest_seconds) * 1e9));
  return wait > nanoseconds::zero() ? hint(wait) : std::nullopt;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t";
  const std::size_t begin = text.find_first_not_of(space);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

/// The number that is the whole of `text`.
std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::string_view> header(const response_head& head, std::string_view name) {
  const auto found = head.hints.find(name);
  if (found == head.hints.end()) return std::nullopt;
  return trimmed(found->second);
}

/// Seconds in a unit of time; 0: no unit.
double unit_seconds(std::string_view unit) {
  using named = std::pair<std::string_view, double>;
  static constexpr std::array<named, 25> units{{
      {"ns", 1e-9},
      {"us", 1e-6},
      {"µs", 1e-6},
      {"μs", 1e-6},  // both signs
                     // for micro
      {"ms", 1e-3},
      {"millisecond", 1e-3},
      {"milliseconds", 1e-3},
      {"s", 1},
      {"sec", 1},
      {"secs", 1},
      {"second", 1},
      {"seconds", 1},
      {"m", 60},
      {"min", 60},
      {"mins", 60},
      {"minute", 60},
      {"minutes", 60},
      {"h", 3600},
      {"hour", 3600},
      {"hours", 3600},
      {"hr", 3600},
      {"hrs", 3600},
      {"d", 86400},
      {"day", 86400},
      {"days", 86400},
  }};
  const auto found = std::find_if(units.begin(), units.end(),
                                  [&](const named& each) { return each.first == unit; });
  return found == units.end() ? 0 : found->second;
}

bool is_unit_byte(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0 || static_cast<unsigned char>(c) >= 0x80;
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

hint header_in_milliseconds(const response_head& head) {
  const auto text = header(head, "retry-after-ms");
  const auto milliseconds = text ? number(*text) : std::nullopt;
  return milliseconds ? from_seconds(*milliseconds / 1000) : std::nullopt;
}

hint header_retry_after(const response_head& head, double now_unix) {
  const auto text = header(head, "retry-after");
  if (!text) return std::nullopt;
  if (const auto seconds = number(*text)) return from_seconds(*seconds);
  const auto date = http_date(*text);
  return date ? from_seconds(*date - now_unix) : std::nullopt;
}

hint message_hint(std::string_view message) {
  const std::string lower = lower_case(message);
  for (const std::string_view phrase : {"try again in ", "retry after ", "retry in "}) {
    const std::size_t found = lower.find(phrase);
    if (found == std::string::npos) continue;
    if (const auto wait = leading_duration(std::string_view(lower).substr(found + phrase.size()))) {
      return wait;
    }
  }
  return std::nullopt;
}

/// A Go duration, or Azure's whole seconds, where 0 and -1 say nothing.
hint reset_of(const response_head& head, std::string_view name) {
  const auto text = header(head, name);
  if (!text) return std::nullopt;
  const auto seconds = number(*text);
  return seconds ? from_seconds(*seconds) : leading_duration(*text);
}

/// When the exhausted counter is full again. A counter that still has something left tells nothing;
/// one that does not say is believed when no other is exhausted.
hint reset_hint(const response_head& head) {
  hint exhausted;
  hint unsaid;
  for (const auto& [remaining, reset] :
       {std::pair("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
        std::pair("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens")}) {
    const hint wait = reset_of(head, reset);
    const auto left = header(head, remaining);
    const auto count = left ? number(*left) : std::nullopt;
    if (count && *count == 0) {
      exhausted = std::max(exhausted, wait);
    } else if (!count) {
      unsaid = std::max(unsaid, wait);
    }
  }
  return exhausted ? exhausted : unsaid;
}

}  // namespace

std::optional<nanoseconds> leading_duration(std::string_view text) {
  double seconds = 0;
  bool any = false;
  while (!text.empty() && std::isdigit(static_cast<unsigned char>(text.front())) != 0) {
    double value = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    if (error != std::errc()) break;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.starts_with(' ')) text.remove_prefix(1);
    const auto unit_end = std::find_if_not(text.begin(), text.end(), is_unit_byte);
    const auto unit_size = static_cast<std::size_t>(unit_end - text.begin());
    const double unit = unit_seconds(text.substr(0, unit_size));
    if (unit == 0) break;
    seconds += value * unit;
    any = true;
    text.remove_prefix(unit_size);
    if (text.starts_with(' ')) text.remove_prefix(1);
  }
  return any ? from_seconds(seconds) : std::nullopt;
}

std::optional<double> http_date(std::string_view text) {
  for (const char* form :
       {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"}) {
    std::tm parts{};
    std::istringstream in{std::string(text)};
    in.imbue(std::locale::classic());
    in >> std::get_time(&parts, form);
    if (!in.fail()) return static_cast<double>(timegm(&parts));
  }
  return std::nullopt;
}

std::optional<nanoseconds> retry_hint(const response_head& head, std::string_view message,
                                      double now_unix) {
  if (const auto wait = header_in_milliseconds(head)) return wait;
  if (const auto wait = header_retry_after(head, now_unix)) return wait;
  if (const auto wait = message_hint(message)) return wait;
  return head.status == 429 ? reset_hint(head) : std::nullopt;
}

}  // namespace sluice::openai
