#include "engine/model_waits.hpp"

#include <utility>

namespace sluice {

model_waits::model_waits(clock& time, const model_outages::options& settings)
    : time_(time), outages_(settings) {}

model_waits::~model_waits() {
  for (auto& [model, one] : waiting_) cancel_timer(*one);
}

void model_waits::cancel_timer(line& of) {
  if (of.timer != 0) time_.cancel(std::exchange(of.timer, 0));
}

model_waits::state model_waits::ask(std::string_view model) {
  return outages_.any() ? outages_.ask(model, time_.now()) : state::serving;
}

bool model_waits::given_up(std::string_view model) {
  return outages_.any() && outages_.is_given_up(model);
}

boost::asio::awaitable<void> model_waits::wait(const std::string& model) {
  const auto found = waiting_.find(model);
  if (found != waiting_.end()) co_await found->second->waiting.wait();
}

std::size_t model_waits::waiting() const noexcept {
  std::size_t all = 0;
  for (const auto& [model, one] : waiting_) all += one->waiting.size();
  return all;
}

bool model_waits::refused(const std::string& model, bool was_trial, const std::string& words) {
  const bool begins = !is_out(model);
  if (begins) waiting_[model] = std::make_unique<line>();
  waiting_.find(model)->second->words = words;
  outages_.refused(model, was_trial, time_.now());
  follow(model);
  return begins;
}

std::uint64_t model_waits::answers(std::size_t job, std::string_view model) const {
  const auto found = answers_.find(model);
  if (found == answers_.end()) return 0;
  const auto of_job = found->second.find(job);
  return of_job == found->second.end() ? 0 : of_job->second;
}

std::string model_waits::words(std::string_view model) const {
  const auto found = waiting_.find(model);
  return found == waiting_.end() ? std::string() : found->second->words;
}

bool model_waits::answered(const std::string& model, time_point started) {
  if (!outages_.any() || !outages_.answered(model, started)) return false;
  const auto found = waiting_.find(model);
  const auto over = std::move(found->second);
  waiting_.erase(found);
  cancel_timer(*over);
  over->waiting.wake_all();
  return true;
}

void model_waits::trial_wasted(const std::string& model) {
  if (!is_out(model)) return;
  outages_.trial_wasted(model, time_.now());
  follow(model);
}

void model_waits::trial_unmade(const std::string& model) {
  if (!is_out(model)) return;
  outages_.trial_unmade(model);
  follow(model);
}

// Wakes all waiters when the next trial is due, or when the model is given up. The first one that
// may start makes the trial. Waking only one is not enough, since it may not be able to start.
void model_waits::follow(const std::string& model) {
  line& one = *waiting_.find(model)->second;
  cancel_timer(one);
  if (outages_.is_given_up(model)) return one.waiting.wake_all();
  const auto next = outages_.next_trial(model);
  if (!next) return;
  one.timer = time_.call_at(*next, [&one] {
    one.timer = 0;
    one.waiting.wake_all();
  });
}

void model_waits::wake_all() {
  for (auto& [model, one] : waiting_) {
    cancel_timer(*one);
    one->waiting.wake_all();
  }
}

}  // namespace sluice
