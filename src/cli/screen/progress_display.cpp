#include "cli/screen/progress_display.hpp"

#include <chrono>
#include <utility>

namespace sluice::cli {
namespace {

constexpr std::chrono::milliseconds live_interval{200};
constexpr std::chrono::seconds plain_interval{10};

}  // namespace

progress_display::progress_display(clock& time, screen& shown, progress_source source,
                                   progress_kind kind)
    : time_(time), screen_(shown), source_(std::move(source)), kind_(kind) {
  if (kind_ != progress_kind::none) wait();
}

void progress_display::leave() {
  if (timer_ == 0) return;
  time_.cancel(std::exchange(timer_, 0));
  if (kind_ == progress_kind::json) show();
  screen_.clear_live();
}

void progress_display::wait() {
  const duration interval = is_live() ? duration(live_interval) : plain_interval;
  timer_ = time_.call_at(time_.now() + interval, [this] {
    show();
    wait();
  });
}

void progress_display::show() {
  if (kind_ == progress_kind::json) {
    screen_.finished_line(source_.json());
  } else if (is_live()) {
    screen_.live(source_.line(screen_.form(true)));
  } else {
    const std::string text = source_.line({.spoken = screen_.spoken()});
    if (!text.empty()) screen_.line(text);
  }
}

}  // namespace sluice::cli
