#include "cli/screen/progress_display.hpp"

#include <chrono>
#include <utility>

namespace sluice::cli {
namespace {

constexpr std::chrono::milliseconds live_interval{200};
constexpr std::chrono::seconds plain_interval{10};

}  // namespace

progress_display::progress_display(clock& time, screen& shown, std::function<std::string()> line)
    : time_(time), screen_(shown), line_(std::move(line)) {
  wait();
}

void progress_display::leave() {
  if (timer_ != 0) time_.cancel(std::exchange(timer_, 0));
  screen_.clear_live();
}

void progress_display::wait() {
  const duration interval = screen_.is_terminal() ? duration(live_interval) : plain_interval;
  timer_ = time_.call_at(time_.now() + interval, [this] {
    if (screen_.is_terminal()) {
      screen_.live(line_());
    } else {
      screen_.line(line_());
    }
    wait();
  });
}

}  // namespace sluice::cli
