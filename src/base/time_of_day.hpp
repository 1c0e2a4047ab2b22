#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice {

/// A time as a clock on the wall shows it, without a date.
struct time_of_day {
  int hour = 0;
  int minute = 0;
};

/// "06:00" or "6:00", from 00:00 to 23:59; nothing: the text is something else.
std::optional<time_of_day> read_time_of_day(std::string_view text);

/// The next moment after `now` at which the local clock shows this time. Where the change to
/// daylight saving time leaves the time out, it is the moment of the change; where the change back
/// shows it twice, the first of the two. Both are Unix times in whole seconds. Uses the time zone
/// of the process (TZ).
std::int64_t next_time(time_of_day wanted, std::int64_t now);

}  // namespace sluice
