#include "views/bench_progress.hpp"

#include <fmt/format.h>

#include "base/wording.hpp"
#include "views/wait_text.hpp"

namespace sluice::cli {

std::string bench_progress(const bench::benchmark::status& now, const line_form& form) {
  const language spoken = form.spoken;
  if (now.waiting_for_others) {
    return toned(say(spoken, "waiting until earlier starts no longer count"), tone::waiting, form);
  }
  fitted_line line;
  const std::string done = say(spoken, "{} done", grouped(now.ended));
  if (now.load.empty()) {
    line.add({.text = say(spoken, "looking for the limit: {}", done), .brief = done, .weight = 90});
  } else {
    const std::string number = std::to_string(now.number);
    const std::string of = now.of ? say(spoken, " of {}", *now.of) : std::string();
    line.add({.text = say(spoken, "load {}{}, {}: {}", number, of, now.load, done),
              .brief = say(spoken, "load {}{}: {}", number, of, done),
              .weight = 90});
  }
  line.add({.text = say(spoken, "{} in flight", now.in_flight), .weight = 20});
  const std::string window = now.cap == 0
                                 ? say(spoken, "{} in 60 s", grouped(now.started_last_minute))
                                 : say(spoken, "{}/{} in 60 s", now.started_last_minute, now.cap);
  const bool shared = now.cap != 0 && now.started_by_others > 0;
  line.add({.text = shared ? say(spoken, "{} ({} by other runs)", window, now.started_by_others)
                           : window,
            .brief = shared ? say(spoken, "{} + {} by others", now.started_last_minute,
                                  now.started_by_others)
                            : window,
            .weight = shared && now.cause == wait_cause::limit ? 85U : 40U});
  if (now.cost) line.add({.text = fmt::format("${}", now.cost->to_string()), .weight = 30});
  if (now.left_s) {
    const std::string left = short_time(*now.left_s, spoken);
    line.add({.text = now.more_to_come ? say(spoken, "about {} left of this load", left)
                                       : say(spoken, "about {} left", left),
              .brief = say(spoken, "{} left", left),
              .weight = 50});
  }
  if (now.cause != wait_cause::none) {
    const wait_text wait = reason_to_wait(facts_of(now), spoken);
    line.add({.text = wait.sentence, .brief = wait.brief, .weight = 100, .meaning = tone::waiting});
  }
  return line.in(form);
}

progress_facts facts_of(const bench::benchmark::status& now) {
  progress_facts facts;
  facts.done_now = now.ended;
  facts.unix_now = now.unix_now;
  facts.run.in_flight = now.in_flight;
  facts.run.started_last_minute = now.started_last_minute;
  facts.run.started_by_others = now.started_by_others;
  if (now.cause == wait_cause::none) return facts;
  facts.run.waiting = 1;
  facts.run.next_start = time_point{};
  facts.run.cause = now.cause;
  facts.until_next_start_s = now.wait_s;
  if (now.pause_status) facts.run.pause = {*now.pause_status, now.pause_asked};
  return facts;
}

}  // namespace sluice::cli
