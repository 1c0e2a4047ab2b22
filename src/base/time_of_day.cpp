#include "base/time_of_day.hpp"

#include <charconv>
#include <ctime>

namespace sluice {
namespace {

constexpr int minutes_a_day = 24 * 60;
constexpr std::int64_t minute_s = 60;

std::optional<int> read_number(std::string_view digits, std::size_t shortest, int most) {
  int number = 0;
  const auto* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, number);
  const bool right_length = digits.size() >= shortest && digits.size() <= 2;
  if (!right_length || error != std::errc() || stop != end || number < 0 || number > most) {
    return std::nullopt;
  }
  return number;
}

std::tm local_time(std::int64_t moment) {
  const auto seconds = static_cast<std::time_t>(moment);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return local;
}

int minute_of_day(std::int64_t moment) {
  const std::tm local = local_time(moment);
  return local.tm_hour * 60 + local.tm_min;
}

int minutes_from(int begin, int end) {
  return (end - begin + minutes_a_day) % minutes_a_day;
}

}  // namespace

std::optional<time_of_day> read_time_of_day(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto hour = read_number(text.substr(0, colon), 1, 23);
  const auto minute = read_number(text.substr(colon + 1), 2, 59);
  if (!hour || !minute) return std::nullopt;
  return time_of_day{*hour, *minute};
}

// Tries one minute after the other, so that the system's table applies every rule of the time zone.
std::int64_t next_time(time_of_day wanted, std::int64_t now) {
  ::tzset();
  const int target = wanted.hour * 60 + wanted.minute;
  constexpr std::int64_t two_days = std::int64_t{2} * minutes_a_day;
  std::int64_t moment = now - local_time(now).tm_sec;
  int before = minute_of_day(moment);
  for (std::int64_t i = 0; i < two_days; ++i) {
    moment += minute_s;
    const int shown = minute_of_day(moment);
    const int step = minutes_from(before, shown);
    const bool forward = step > 0 && step < minutes_a_day / 2;
    const int distance = minutes_from(before, target);
    const bool passed = forward && distance > 0 && distance <= step;
    if (passed || shown == target) return moment;
    before = shown;
  }
  return moment;  // the clock shows every minute within two days
}

}  // namespace sluice
