#include "views/wait_text.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <ctime>

#include "base/wording.hpp"
#include "views/progress.hpp"

namespace sluice::cli {
namespace {

// "10:26" in local time; with the date if it is not today.
std::string clock_time(double unix_now, double unix_then) {
  const std::tm now = fmt::localtime(static_cast<std::time_t>(unix_now));
  const std::tm then = fmt::localtime(static_cast<std::time_t>(std::ceil(unix_then)));
  const bool today = now.tm_yday == then.tm_yday && now.tm_year == then.tm_year;
  return today ? fmt::format("{:%H:%M}", then) : fmt::format("{:%F %H:%M}", then);
}

wait_text wait_for_pause(const start_wait& wait, language spoken) {
  const auto& why = wait.pause;
  const double left = wait.left_s;
  constexpr double long_pause_s = 60;
  const std::string until =
      left >= long_pause_s
          ? say(spoken, "until {}", clock_time(wait.unix_now, wait.unix_now + left))
          : say(spoken, "for {}", short_time(left, spoken));
  if (!why) {
    return {say(spoken, "paused by the relay {} (it refused another run)", until),
            say(spoken, "paused {}", until), "pause"};
  }
  const std::string status =
      why->http_status == 0 ? say(spoken, "failures") : std::to_string(why->http_status);
  if (why->asked <= duration{}) {
    return {say(spoken, "paused {} after a refusal ({})", until, status),
            say(spoken, "paused {} ({})", until, status), "pause"};
  }
  const std::string asked = short_time(std::chrono::duration<double>(why->asked).count(), spoken);
  return {say(spoken, "paused by the relay {} ({}, it asked for {})", until, status, asked),
          say(spoken, "paused {} ({})", until, status), "pause"};
}

}  // namespace

wait_text text_of(const start_wait& wait, language spoken) {
  const std::string left = short_time(wait.left_s, spoken);
  switch (wait.cause) {
    case wait_cause::pause:
      return wait_for_pause(wait, spoken);
    case wait_cause::unreachable:
      return {say(spoken, "the relay cannot be reached, next try in {}", left),
              say(spoken, "unreachable, next try in {}", left), "unreachable"};
    case wait_cause::pacing:
      return {say(spoken, "starts are spread, next start in {}", left),
              say(spoken, "spread, next in {}", left), "pacing"};
    case wait_cause::unknown:
      return {say(spoken, "earlier starts are not on record, next start in {}", left),
              say(spoken, "limit unknown, next in {}", left), "unknown"};
    case wait_cause::limit:
    case wait_cause::none:
      break;
  }
  return {say(spoken, "waiting for the limit, next start in {}", left),
          say(spoken, "limit, next in {}", left), "limit"};
}

}  // namespace sluice::cli
