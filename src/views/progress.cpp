#include "views/progress.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "views/shown_amount.hpp"

namespace sluice::cli {

std::string short_time(double seconds) {
  const auto whole = static_cast<std::uint64_t>(std::ceil(std::max(seconds, 0.0)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{}m {:02}s", whole / 60, whole % 60);
  return fmt::format("{}h {:02}m", whole / 3600, whole % 3600 / 60);
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
  // A long wait means that the window is full: the rest goes out one window after the other. A
  // short wait belongs to an even pace; then the speed so far gives a better estimate.
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

std::string progress_line(const progress_facts& facts) {
  std::string line =
      fmt::format("{}/{} done", grouped(facts.succeeded + facts.failed), grouped(facts.total));
  if (facts.failed > 0) line += fmt::format(", {} failed", grouped(facts.failed));
  line += fmt::format(" | {} in 60 s", facts.requests_per_minute == 0
                                           ? std::to_string(facts.run.started_last_minute)
                                           : fmt::format("{}/{}", facts.run.started_last_minute,
                                                         facts.requests_per_minute));
  if (facts.elapsed_s > 0) {
    line += fmt::format(" | {} tok/s",
                        grouped(static_cast<std::uint64_t>(static_cast<double>(facts.tokens_now) /
                                                           std::max(facts.elapsed_s, 0.1))));
  }
  // Four decimals: cents are too coarse for a cheap job, and eighteen digits are too long. The
  // totals have them all.
  const double dollars = static_cast<double>(facts.cost.count()) / 1e18;
  line += fmt::format(" | ${:.4f}", dollars);
  const double left = estimate_seconds_left(facts);
  if (left > 0) line += fmt::format(" | {} left", short_time(left));
  if (facts.run.one_at_a_time) {
    line += " | relay in trouble, one at a time";
  } else if (facts.run.waiting_for_budget > 0 && facts.shortage) {
    line += fmt::format(" | {} wait for the budget: one may cost {}, {} is free",
                        grouped(facts.run.waiting_for_budget), shown_amount(facts.shortage->most),
                        shown_amount(facts.shortage->left));
    if (facts.shortage->reply_limit > 0) {
      line += fmt::format("; max_tokens {} would fit",
                          grouped(static_cast<std::uint64_t>(facts.shortage->reply_limit)));
    }
  } else if (facts.run.next_start) {
    line += fmt::format(" | waiting for the limit, next start in {}",
                        short_time(facts.until_next_start_s));
  } else if (facts.run.full) {
    line += fmt::format(" | all {} places in flight (--concurrency)", facts.run.in_flight);
  } else if (facts.run.slowed) {
    line += fmt::format(" | {} in flight, more when these are answered in good time",
                        facts.run.in_flight);
  }
  return line;
}

}  // namespace sluice::cli
