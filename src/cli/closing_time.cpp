#include "cli/closing_time.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "views/progress.hpp"

namespace sluice::cli {
namespace {

// The wall clock may be changed while the command waits.
constexpr std::chrono::seconds longest_sleep{30};

}  // namespace

closing_time::closing_time(const closing_options& asked, time_point now, double unix_now) {
  if (asked.until) {
    until_ = static_cast<double>(
        next_time(*asked.until, static_cast<std::int64_t>(std::floor(unix_now))));
    until_text_ = fmt::format("{:02}:{:02}", asked.until->hour, asked.until->minute);
  }
  if (asked.deadline) {
    deadline_ = now + *asked.deadline;
    const double seconds = std::chrono::duration<double>(*asked.deadline).count();
    deadline_text_ = {short_time(seconds), short_time(seconds, language::chinese)};
  }
}

wording closing_time::why(time_point now, double unix_now) const {
  if (until_ && unix_now >= *until_) {
    return worded("it is {}, and --until lets nothing start after it", until_text_);
  }
  if (deadline_ && now >= *deadline_) {
    return worded("the {} of --deadline are over", deadline_text_);
  }
  return {};
}

std::optional<time_point> closing_time::next_look(time_point now, double unix_now) const {
  std::optional<time_point> look = deadline_;
  if (until_) {
    const std::chrono::duration<double> left{std::max(*until_ - unix_now, 0.0)};
    const time_point end =
        now + std::min<duration>(std::chrono::ceil<std::chrono::milliseconds>(left), longest_sleep);
    look = look ? std::min(*look, end) : end;
  }
  return look;
}

closing_watch::closing_watch(clock& time, closing_time closing,
                             std::function<void(const wording&)> close)
    : time_(time), closing_(std::move(closing)), close_(std::move(close)) {
  look();
}

void closing_watch::leave() {
  if (timer_ != 0) time_.cancel(std::exchange(timer_, 0));
}

void closing_watch::look() {
  timer_ = 0;
  const time_point now = time_.now();
  why_ = closing_.why(now, time_.unix_now());
  if (!why_.empty()) return close_(why_);
  if (const auto next = closing_.next_look(now, time_.unix_now())) {
    timer_ = time_.call_at(*next, [this] { look(); });
  }
}

}  // namespace sluice::cli
