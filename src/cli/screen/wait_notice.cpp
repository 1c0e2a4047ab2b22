#include "cli/screen/wait_notice.hpp"

#include <chrono>
#include <utility>

namespace sluice::cli {
namespace {

constexpr std::chrono::seconds interval{1};

}  // namespace

wait_notice::wait_notice(clock& time, screen& shown, std::function<progress_facts()> facts)
    : time_(time), screen_(shown), facts_(std::move(facts)), begun_(time.now()) {
  watch();
}

void wait_notice::leave() {
  if (timer_ != 0) time_.cancel(std::exchange(timer_, 0));
}

void wait_notice::watch() {
  timer_ = time_.call_at(time_.now() + interval, [this] {
    const std::chrono::duration<double> passed = time_.now() - begun_;
    const std::string wait = waits_.take(facts_(), passed.count(), screen_.spoken());
    if (!wait.empty()) screen_.line("sluice: " + wait);
    watch();
  });
}

}  // namespace sluice::cli
