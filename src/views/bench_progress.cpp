#include "views/bench_progress.hpp"

#include <fmt/format.h>

#include "views/wait_text.hpp"

namespace sluice::cli {

std::string bench_progress(const bench::benchmark::status& now, const line_form& form) {
  if (now.waiting_for_others) {
    return toned("waiting until earlier starts no longer count", tone::waiting, form);
  }
  fitted_line line;
  const std::string done = grouped(now.ended) + " done";
  if (now.load.empty()) {
    line.add({.text = "looking for the limit: " + done, .brief = done, .weight = 90});
  } else {
    const std::string number = std::to_string(now.number);
    const std::string of = now.of ? fmt::format(" of {}", *now.of) : std::string();
    line.add({.text = fmt::format("load {}{}, {}: {}", number, of, now.load, done),
              .brief = fmt::format("load {}{}: {}", number, of, done),
              .weight = 90});
  }
  line.add({.text = fmt::format("{} in flight", now.in_flight), .weight = 20});
  const std::string window = now.cap == 0
                                 ? fmt::format("{} in 60 s", grouped(now.started_last_minute))
                                 : fmt::format("{}/{} in 60 s", now.started_last_minute, now.cap);
  const bool shared = now.cap != 0 && now.started_by_others > 0;
  line.add({.text = shared ? fmt::format("{} ({} by other runs)", window, now.started_by_others)
                           : window,
            .brief = shared ? fmt::format("{} + {} by others", now.started_last_minute,
                                          now.started_by_others)
                            : window,
            .weight = shared && now.cause == wait_cause::limit ? 85U : 40U});
  if (now.cost) line.add({.text = fmt::format("${}", now.cost->to_string()), .weight = 30});
  if (now.left_s) {
    line.add({.text = fmt::format("about {} left{}", short_time(*now.left_s),
                                  now.more_to_come ? " of this load" : ""),
              .brief = short_time(*now.left_s) + " left",
              .weight = 50});
  }
  if (now.cause != wait_cause::none) {
    const wait_text wait = reason_to_wait(facts_of(now));
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
