#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice {

/// A time as a wall clock shows it, without a date.
struct time_of_day {
  int hour = 0;
  int minute = 0;
};

/// "06:00" or "6:00", from 00:00 to 23:59; nothing: the text is something else.
std::optional<time_of_day> read_time_of_day(std::string_view text);

/// The next moment after `now` at which the local clock shows this time. If the change to daylight
/// saving time skips the time, it is the moment of the change. If the change back shows the time
/// twice, it is the first of the two moments. `now` and the result are Unix times in whole seconds.
/// Uses the time zone of the process (TZ).
std::int64_t next_time(time_of_day wanted, std::int64_t now);

}  // namespace sluice
