#include "base/read_duration.hpp"

#include <charconv>
#include <cstddef>
#include <system_error>

namespace sluice {
namespace {

// Seconds in one unit; 0: there is no such unit.
double seconds_in(std::string_view unit) {
  if (unit == "ms") return 1e-3;
  if (unit == "s") return 1;
  if (unit == "m") return 60;
  if (unit == "h") return 3600;
  return 0;
}

}  // namespace

std::optional<std::chrono::nanoseconds> read_duration(std::string_view text) {
  constexpr double longest = 1e9;
  if (text == "0") return std::chrono::nanoseconds::zero();
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (error != std::errc{}) return std::nullopt;
  const double unit = seconds_in({stop, static_cast<std::size_t>(end - stop)});
  const double seconds = number * unit;
  if (unit == 0 || !(number >= 0) || !(seconds < longest)) return std::nullopt;
  return std::chrono::round<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
}

}  // namespace sluice
