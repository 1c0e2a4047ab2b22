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

#include "base/ascii.hpp"

namespace sluice::openai {
namespace {

using std::chrono::nanoseconds;
using hint = std::optional<nanoseconds>;

/// The longest wait. It keeps the arithmetic in range.
constexpr double longest_seconds = 1e9;

/// A wait of zero is not a hint.
hint from_seconds(double seconds) {
  if (!std::isfinite(seconds) || seconds <= 0) return std::nullopt;
  const nanoseconds wait(std::llround(std::min(seconds, longest_seconds) * 1e9));
  return wait > nanoseconds::zero() ? hint(wait) : std::nullopt;
}

/// The number, if `text` is nothing but a number.
std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::string_view> field(const hint_fields& fields, std::string_view name) {
  const auto found = fields.find(name);
  if (found == fields.end()) return std::nullopt;
  return trimmed(found->second);
}

/// Seconds in a unit of time; 0: not a unit.
double unit_seconds(std::string_view unit) {
  using named = std::pair<std::string_view, double>;
  static constexpr std::array<named, 25> units{{
      {"ns", 1e-9},    {"us", 1e-6},          {"µs", 1e-6},  // micro sign
      {"μs", 1e-6},                                          // Greek mu
      {"ms", 1e-3},    {"millisecond", 1e-3}, {"milliseconds", 1e-3}, {"s", 1},     {"sec", 1},
      {"secs", 1},     {"second", 1},         {"seconds", 1},         {"m", 60},    {"min", 60},
      {"mins", 60},    {"minute", 60},        {"minutes", 60},        {"h", 3600},  {"hour", 3600},
      {"hours", 3600}, {"hr", 3600},          {"hrs", 3600},          {"d", 86400}, {"day", 86400},
      {"days", 86400},
  }};
  const auto found = std::find_if(units.begin(), units.end(),
                                  [&](const named& each) { return each.first == unit; });
  return found == units.end() ? 0 : found->second;
}

bool is_unit_byte(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0 || static_cast<unsigned char>(c) >= 0x80;
}

/// A duration in ISO 8601: "PT1M30S", "P1DT2H". Years and months are not accepted, because their
/// length varies.
hint iso_duration(std::string_view text) {
  if (!text.starts_with('P')) return std::nullopt;
  text.remove_prefix(1);
  double seconds = 0;
  bool in_day = false;
  bool any = false;
  while (!text.empty()) {
    if (!in_day && text.front() == 'T') {
      in_day = true;
      text.remove_prefix(1);
      continue;
    }
    double value = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (error != std::errc() || text.empty()) return std::nullopt;
    const std::string_view units = in_day ? "HMS" : "WD";
    constexpr std::array<double, 3> in_hours{3600, 60, 1};
    constexpr std::array<double, 2> in_days{7.0 * 86400, 86400};
    const std::size_t unit = units.find(text.front());
    if (unit == std::string_view::npos) return std::nullopt;
    seconds += value * (in_day ? in_hours.at(unit) : in_days.at(unit));
    any = true;
    text.remove_prefix(1);
  }
  return any ? from_seconds(seconds) : std::nullopt;
}

/// A number that is a time since the epoch, converted to seconds; nullopt: it is a duration.
std::optional<double> moment_of(double number, double now_unix) {
  constexpr double window = 10 * 366 * 86400.0;
  if (now_unix <= window) return std::nullopt;  // the clock was never set
  for (const double scale : {1.0, 1e3, 1e6, 1e9}) {
    if (std::abs(number / scale - now_unix) <= window) return number / scale;
  }
  return std::nullopt;
}

/// `unit`: the unit of a number without one, in seconds.
hint wait_of(std::string_view text, double unit, double now_unix) {
  if (const auto value = number(text)) {
    const auto moment = moment_of(*value, now_unix);
    return from_seconds(moment ? *moment - now_unix : *value * unit);
  }
  if (const auto date = http_date(text)) return from_seconds(*date - now_unix);
  if (const auto length = iso_duration(text)) return length;
  return leading_duration(lower_case(text));
}

/// The wait in the retry-after fields.
hint plain_hint(const hint_fields& fields, double now_unix) {
  using named = std::pair<std::string_view, double>;
  for (const auto& [name, unit] : {named("retry-after-ms", 1e-3),
                                   named("x-ms-retry-after-ms", 1e-3), named("retry-after", 1)}) {
    const auto text = field(fields, name);
    const hint wait = text ? wait_of(*text, unit, now_unix) : std::nullopt;
    if (wait) return wait;
  }
  return std::nullopt;
}

/// A date at the beginning of a text, up to the end of its sentence.
hint leading_date(std::string_view words, double now_unix) {
  constexpr std::size_t shortest = std::string_view("2000-01-01 00:00:00").size();
  constexpr std::size_t longest = shortest + std::string_view(".000000000+00:00").size();
  for (std::size_t size = std::min(words.size(), longest); size >= shortest; --size) {
    if (const auto date = http_date(words.substr(0, size))) return from_seconds(*date - now_unix);
  }
  return std::nullopt;
}

hint message_hint(std::string_view message, double now_unix) {
  const std::string lower = lower_case(message);
  for (const std::string_view phrase :
       {"again in ", "retry after ", "retry in ", "again after ", "please wait ", "again at "}) {
    for (std::size_t found = lower.find(phrase); found != std::string::npos;
         found = lower.find(phrase, found + 1)) {
      const std::string_view rest = std::string_view(message).substr(found + phrase.size());
      if (const auto wait = leading_duration(lower_case(rest))) return wait;
      if (const auto wait = leading_date(rest, now_unix)) return wait;
    }
  }
  return std::nullopt;
}

/// When an exhausted counter is full again. A counter that is not exhausted gives no hint. A
/// counter without a "remaining" field is used only if no other one is exhausted. Azure's 0 and -1
/// mean nothing.
hint reset_hint(const hint_fields& fields, double now_unix) {
  constexpr std::string_view reset = "reset";
  hint exhausted;
  hint unsaid;
  for (const auto& [name, text] : fields) {
    const std::size_t place = name.find(reset);
    if (place == std::string::npos) continue;
    const hint wait = wait_of(trimmed(text), 1, now_unix);
    const auto left = field(fields, std::string(name).replace(place, reset.size(), "remaining"));
    const auto count = left ? number(*left) : std::nullopt;
    if (count && *count == 0) {
      exhausted = std::max(exhausted, wait);
    } else if (!count) {
      unsaid = std::max(unsaid, wait);
    }
  }
  return exhausted ? exhausted : unsaid;
}

/// The offset of a time zone, in seconds east of UTC.
std::optional<double> zone_offset(std::string_view zone) {
  if (zone.empty() || zone == "GMT" || zone == "UTC" || zone == "UT" || zone == "Z") return 0;
  const double sign = zone.front() == '-' ? -1 : 1;
  if (zone.front() != '+' && zone.front() != '-') return std::nullopt;
  std::string digits(zone.substr(1));
  if (digits.size() == 5 && digits[2] == ':') digits.erase(2, 1);
  if (digits.size() != 4 || digits.find_first_not_of("0123456789") != std::string::npos) {
    return std::nullopt;
  }
  const int hours = std::stoi(digits.substr(0, 2));
  const int minutes = std::stoi(digits.substr(2));
  return sign * (hours * 3600 + minutes * 60);
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
  // std::get_time also accepts a text that ends early, so count the colons.
  if (std::count(text.begin(), text.end(), ':') < 2) return std::nullopt;
  for (const char* form : {"%a, %d %b %Y %H:%M:%S", "%A, %d-%b-%y %H:%M:%S", "%a %b %d %H:%M:%S %Y",
                           "%d %b %Y %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"}) {
    std::tm parts{};
    std::istringstream in{std::string(text)};
    in.imbue(std::locale::classic());
    in >> std::get_time(&parts, form);
    if (in.fail()) continue;
    // At the end of the stream, tellg() returns no position.
    const std::size_t place = in.eof() ? text.size() : static_cast<std::size_t>(in.tellg());
    std::string_view rest = text.substr(place);
    double fraction = 0;
    if (rest.starts_with('.')) {
      const std::size_t digits = rest.find_first_not_of("0123456789", 1);
      fraction = number(rest.substr(0, digits)).value_or(0);
      rest.remove_prefix(std::min(digits, rest.size()));
    }
    const auto offset = zone_offset(trimmed(rest));
    if (offset) return static_cast<double>(timegm(&parts)) + fraction - *offset;
  }
  return std::nullopt;
}

bool is_retry_hint(std::string_view name) {
  const auto ends_with = [&](std::string_view end) {
    return name.size() >= end.size() && same_name(name.substr(name.size() - end.size()), end);
  };
  const auto holds = [&](std::string_view word) {
    const auto same = [](char c, char lower) {
      return c == lower || (c >= 'A' && c <= 'Z' && c - 'A' + 'a' == lower);
    };
    return std::search(name.begin(), name.end(), word.begin(), word.end(), same) != name.end();
  };
  if (ends_with("retry-after") || ends_with("retry-after-ms")) return true;
  if (same_name(name, "x-should-retry")) return true;
  return (holds("reset") || holds("remaining")) && (holds("ratelimit") || holds("rate-limit"));
}

std::optional<nanoseconds> retry_hint(const reply_head& head, std::string_view message,
                                      double now_unix, const hint_fields& body) {
  const double now = head.date.value_or(now_unix);
  if (const auto wait = plain_hint(head.hints, now)) return wait;
  // Gemini's field has whole seconds; its message has the same wait in nanoseconds.
  if (const auto wait = std::max(plain_hint(body, now), message_hint(message, now))) return wait;
  if (head.status != 429) return std::nullopt;
  const hint wait = reset_hint(head.hints, now);
  return wait ? wait : reset_hint(body, now);
}

}  // namespace sluice::openai
