#include "views/progress.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/wording.hpp"
#include "views/shown_amount.hpp"

namespace sluice::cli {

std::string short_time(double seconds, language spoken) {
  const auto whole = static_cast<std::uint64_t>(std::ceil(std::max(seconds, 0.0)));
  if (whole < 60) return say(spoken, "{} s", whole);
  if (whole < 3600) return say(spoken, "{}m {:02}s", whole / 60, whole % 60);
  return say(spoken, "{}h {:02}m", whole / 3600, whole % 3600 / 60);
}

std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return text;
}

double estimate_seconds_left(const progress_facts& facts) {
  const std::uint64_t left = facts.total - std::min(facts.total, facts.succeeded + facts.failed);
  if (left == 0) return 0;
  // A long wait means that the window is full: the rest is sent one window after the other. A short
  // wait comes from even pacing; then the speed so far gives a better estimate.
  constexpr double long_wait_s = 5;
  if (facts.run.next_start && facts.requests_per_minute > 0 &&
      facts.until_next_start_s > long_wait_s) {
    const auto unsent =
        static_cast<double>(left - std::min<std::uint64_t>(left, facts.run.in_flight));
    const double windows = std::ceil(unsent / facts.requests_per_minute);
    return facts.until_next_start_s + std::max(0.0, windows - 1) * 60;
  }
  if (facts.done_now == 0 || facts.elapsed_s < 1) return -1;
  const double by_speed =
      static_cast<double>(left) * facts.elapsed_s / static_cast<double>(facts.done_now);
  if (facts.requests_per_minute == 0) return by_speed;
  const double by_limit = std::floor(static_cast<double>(left) / facts.requests_per_minute) * 60;
  return std::max(by_speed, by_limit);
}

progress_facts facts_of(const run_status& status, unsigned requests_per_minute, const clock& time) {
  progress_facts now;
  now.run = status;
  now.requests_per_minute = requests_per_minute;
  now.unix_now = time.unix_now();
  if (status.next_start) {
    now.until_next_start_s = std::chrono::duration<double>(*status.next_start - time.now()).count();
  }
  return now;
}

progress_facts facts_of(engine& runner) {
  return facts_of(runner.now(), runner.requests_per_minute(), runner.time());
}

namespace {

std::uint64_t tokens_per_second(const progress_facts& facts) {
  return static_cast<std::uint64_t>(static_cast<double>(facts.tokens_now) /
                                    std::max(facts.elapsed_s, 0.1));
}

start_wait start_of(const progress_facts& facts) {
  return {facts.run.cause, facts.until_next_start_s, facts.unix_now, facts.run.pause};
}

wait_text wait_for_budget(const progress_facts& facts, language spoken) {
  wait_text text{say(spoken, "{} wait for the budget: one may cost {}, {} is free",
                     grouped(facts.run.waiting_for_budget), shown_amount(facts.shortage->most),
                     shown_amount(facts.shortage->left)),
                 say(spoken, "{} wait for the budget", grouped(facts.run.waiting_for_budget)),
                 "budget"};
  if (facts.shortage->reply_limit > 0) {
    text.sentence += say(spoken, "; max_tokens {} would fit",
                         grouped(static_cast<std::uint64_t>(facts.shortage->reply_limit)));
  }
  return text;
}

}  // namespace

wait_text reason_to_wait(const progress_facts& facts, language spoken) {
  const run_status& run = facts.run;
  if (facts.stopping_s) {
    return {say(spoken, "stopping: {} in flight may finish within {}, Ctrl-C again drops them",
                run.in_flight, short_time(*facts.stopping_s, spoken)),
            say(spoken, "stopping: {} in flight, Ctrl-C drops them", run.in_flight), "stopping"};
  }
  const bool told_to_wait = run.cause == wait_cause::pause || run.cause == wait_cause::unreachable;
  if (run.next_start && told_to_wait) return text_of(start_of(facts), spoken);
  if (run.one_at_a_time) {
    return {say(spoken, "relay in trouble, one at a time"), say(spoken, "relay in trouble"),
            "trouble"};
  }
  if (run.waiting_for_budget > 0 && facts.shortage) return wait_for_budget(facts, spoken);
  if (run.next_start) return text_of(start_of(facts), spoken);
  if (run.waiting_for_model > 0) {
    const std::string number = grouped(run.waiting_for_model);
    return {say(spoken, "{} wait until the relay serves their model again", number),
            say(spoken, "{} wait for their model", number), "model"};
  }
  if (run.full) {
    return {say(spoken, "all {} places in flight (--concurrency)", run.in_flight),
            say(spoken, "{} in flight", run.in_flight), "concurrency"};
  }
  if (run.slowed) {
    return {say(spoken, "{} in flight, more when answers come faster", run.in_flight),
            say(spoken, "{} in flight, slow answers", run.in_flight), "slow"};
  }
  return {};
}

std::string progress_line(const progress_facts& facts, const line_form& form) {
  const run_status& run = facts.run;
  const language spoken = form.spoken;
  const wait_text wait = reason_to_wait(facts, spoken);
  fitted_line line;
  const std::string counts =
      fmt::format("{}/{}", grouped(facts.succeeded + facts.failed), grouped(facts.total));
  line.add({.text = say(spoken, "{} done", counts), .brief = counts, .weight = 90});
  if (facts.failed > 0) {
    line.add({.text = say(spoken, "{} failed", grouped(facts.failed)),
              .weight = 80,
              .meaning = tone::bad,
              .before = say(spoken, ", ")});
  }
  std::string window =
      facts.requests_per_minute == 0
          ? say(spoken, "{} in 60 s", run.started_last_minute)
          : say(spoken, "{}/{} in 60 s", run.started_last_minute, facts.requests_per_minute);
  const bool shared = facts.requests_per_minute != 0 && run.started_by_others > 0;
  // If the limit holds the run back, the starts of other runs are a part of the reason.
  const unsigned window_weight = shared && wait.word == "limit" ? 85 : 40;
  line.add({.text = shared ? say(spoken, "{} ({} by other runs)", window, run.started_by_others)
                           : window,
            .brief = window_weight == 40
                         ? window
                         : say(spoken, "{}/{} + {} by others", run.started_last_minute,
                               facts.requests_per_minute, run.started_by_others),
            .weight = window_weight});
  if (facts.elapsed_s > 0) {
    line.add({.text = say(spoken, "{} tok/s", grouped(tokens_per_second(facts))), .weight = 10});
  }
  // Four decimals: cents are too coarse for a cheap job, and eighteen digits are too long. The
  // totals show all digits.
  const double dollars = static_cast<double>(facts.cost.count()) / 1e18;
  line.add({.text = fmt::format("${:.4f}", dollars), .weight = 30});
  const double left = estimate_seconds_left(facts);
  if (left > 0 && !facts.stopping_s) {
    line.add({.text = say(spoken, "{} left", short_time(left, spoken)), .weight = 50});
  }
  line.add({.text = wait.sentence, .brief = wait.brief, .weight = 100, .meaning = tone::waiting});
  return line.in(form);
}

nlohmann::ordered_json progress_document(const progress_facts& facts) {
  using nlohmann::ordered_json;
  const run_status& run = facts.run;
  const double left = estimate_seconds_left(facts);
  const wait_text wait = reason_to_wait(facts);
  ordered_json document;
  document["type"] = "progress";
  document["time"] = std::round(facts.unix_now * 1000) / 1000;
  document["requests"] = facts.total;
  document["succeeded"] = facts.succeeded;
  document["failed"] = facts.failed;
  document["done_in_this_run"] = facts.done_now;
  document["in_flight"] = run.in_flight;
  document["waiting"] = run.waiting;
  document["started_last_60s"] = run.started_last_minute;
  document["started_by_others"] = run.started_by_others;
  document["rpm"] = facts.requests_per_minute;
  document["tokens_per_s"] = tokens_per_second(facts);
  document["cost_usd"] = facts.cost.to_string();
  document["elapsed_s"] = std::round(facts.elapsed_s * 1000) / 1000;
  document["left_s"] = left < 0 ? ordered_json() : ordered_json(std::round(left));
  document["wait"] = nullptr;
  if (!wait.word.empty()) {
    document["wait"] = {
        {"for", wait.word},
        {"next_start_in_s", run.next_start
                                ? ordered_json(std::round(std::max(facts.until_next_start_s, 0.0)))
                                : ordered_json()},
        {"text", wait.sentence}};
  }
  return document;
}

std::string long_wait::take(const progress_facts& facts, double now_s, language spoken) {
  const run_status& run = facts.run;
  // This run's own limit may delay a start for up to a minute, which is normal.
  const bool usual = run.cause == wait_cause::limit && run.started_by_others == 0;
  const bool wanted = run.waiting + run.waiting_for_model > 0 || run.one_at_a_time;
  // a trial counts as a part of the wait
  const bool idle = run.in_flight == 0 || run.one_at_a_time;
  const bool stands = wanted && idle && !usual && !facts.stopping_s;
  const bool started = run.started_last_minute > started_ && !run.one_at_a_time;
  const bool moved = facts.done_now != done_ || started;
  done_ = facts.done_now;
  started_ = run.started_last_minute;
  if (!stands || moved) {
    since_s_.reset();
    told_ = false;
  }
  if (!stands) return {};
  if (!since_s_) since_s_ = now_s;
  const double ahead = run.next_start ? facts.until_next_start_s : 0;
  if (told_ || now_s - *since_s_ + ahead <= worth_telling_s) return {};
  told_ = true;
  const wait_text wait = reason_to_wait(facts, spoken);
  return wait.sentence.empty()
             ? say(spoken, "nothing has started for {}", short_time(now_s - *since_s_, spoken))
             : wait.sentence;
}

}  // namespace sluice::cli
