#include "engine/joint_job.hpp"

#include <algorithm>
#include <utility>

#include "engine/crew.hpp"

namespace sluice {

std::unique_ptr<joint_job::member> joint_job::add(std::function<void()> funds_changed) {
  return std::make_unique<member>(*this, std::move(funds_changed));
}

joint_job::member::member(joint_job& job, std::function<void()> funds_changed)
    : job_(job), funds_changed_(std::move(funds_changed)) {
  const auto lock = job_.hold();
  job_.members_.push_back(this);
}

joint_job::member::~member() {
  const auto lock = job_.hold();
  std::erase(job_.members_, this);
}

// Call it while holding `mutex_`.
void joint_job::note_success(const result& finished) {
  auto& models = answered_[finished.job];
  if (!models.contains(finished.model)) models.insert(finished.model);
}

// The unfinished requests that need a place. Call it while holding `stock_`.
std::size_t joint_job::member::at_work() const {
  return unfinished_ - std::min({resting_, unfinished_, crew::most_resting});
}

// Whether a reader that waits should go on. It does not wake for every request, because each
// wake-up is a system call. Call it while holding `stock_`.
bool joint_job::member::has_much_room() const {
  const std::size_t most = 2 * job_.in_flight_.load();
  return at_work() < most - most / 4;
}

// Counts one more request. False: the run needs no more.
bool joint_job::member::wait_for_room() {
  std::unique_lock lock(stock_);
  if (at_work() >= 2 * job_.in_flight_.load()) {
    waits_for_room_ = true;
    room_.wait(lock, [this] { return cancelled_ || has_much_room(); });
    waits_for_room_ = false;
  }
  if (!cancelled_) ++unfinished_;
  return !cancelled_;
}

void joint_job::member::finished_one() {
  {
    const std::lock_guard lock(stock_);
    if (unfinished_ > 0) --unfinished_;  // look_ahead() gives requests, too
    if (!waits_for_room_ || !has_much_room()) return;
  }
  room_.notify_one();
}

void joint_job::member::wait_began() {
  {
    const std::lock_guard lock(stock_);
    ++resting_;
    if (!waits_for_room_ || !has_much_room()) return;
  }
  room_.notify_one();
}

void joint_job::member::wait_ended() {
  const std::lock_guard lock(stock_);
  --resting_;
}

std::optional<request> joint_job::member::next() {
  if (!wait_for_room()) return std::nullopt;
  const std::lock_guard lock(job_.reading_);
  return job_.source_.next();
}

void joint_job::member::cancel() {
  {
    const std::lock_guard lock(stock_);
    cancelled_ = true;
  }
  room_.notify_one();
  job_.source_.cancel();
}

std::size_t joint_job::member::jobs() const {
  const auto lock = job_.hold();
  return job_.source_.jobs();
}

bool joint_job::member::has_several_models() const {
  const auto lock = job_.hold();
  return job_.source_.has_several_models();
}

bool joint_job::member::had_success(std::size_t job, std::string_view model) const {
  const auto lock = job_.hold();
  const auto found = job_.answered_.find(job);
  if (found != job_.answered_.end() && (model.empty() || found->second.contains(model)))
    return true;
  return job_.source_.had_success(job, model);
}

void joint_job::member::look_ahead(std::size_t job, std::size_t count,
                                   const std::function<void(std::vector<request>)>& done) {
  const auto lock = job_.hold();
  job_.source_.look_ahead(job, count, done);
}

funds joint_job::member::reserve(const request& next) {
  const auto lock = job_.hold();
  const funds answer = job_.sink_.reserve(next);
  if (answer == funds::wait) waits_for_funds_ = true;
  return answer;
}

// An attempt of this member was settled. The engine of this member knows it; the others do not.
void joint_job::member::tell_the_others() {
  for (member* const each : job_.members_) {
    if (each == this || !std::exchange(each->waits_for_funds_, false)) continue;
    each->funds_changed_();
  }
}

void joint_job::member::unreserve(const request& next) {
  const auto lock = job_.hold();
  job_.sink_.unreserve(next);
  tell_the_others();
}

void joint_job::member::attempt_started(const attempt_record& attempt) {
  const auto lock = job_.hold();
  job_.sink_.attempt_started(attempt);
}

bool joint_job::member::must_be_recorded() const {
  const auto lock = job_.hold();
  return job_.sink_.must_be_recorded();
}

void joint_job::member::record(const std::function<void(std::exception_ptr)>& done) {
  const auto lock = job_.hold();
  job_.sink_.record(done);
}

bool joint_job::member::may_send(const attempt_record& attempt) {
  const auto lock = job_.hold();
  return job_.sink_.may_send(attempt);
}

void joint_job::member::attempt_ended(const attempt_record& attempt, attempt_end how) {
  const auto lock = job_.hold();
  job_.sink_.attempt_ended(attempt, how);
  tell_the_others();
}

bool joint_job::member::wants_text() const {
  const auto lock = job_.hold();
  return job_.sink_.wants_text();
}

void joint_job::member::text(const attempt_record& attempt, std::string_view more) {
  const auto lock = job_.hold();
  job_.sink_.text(attempt, more);
}

bool joint_job::member::examines_replies() const {
  const auto lock = job_.hold();
  return job_.sink_.examines_replies();
}

reply_verdict joint_job::member::examine(request& asked, const result& finished) {
  const auto lock = job_.hold();
  job_.note_success(finished);  // its engine counts the reply as one, even if it is rejected
  auto verdict = job_.sink_.examine(asked, finished);
  tell_the_others();
  return verdict;
}

void joint_job::member::left_pending(const request& left) {
  const auto lock = job_.hold();
  job_.sink_.left_pending(left);
  finished_one();
}

void joint_job::member::put(result&& finished) {
  const auto lock = job_.hold();
  finished_one();
  if (finished.outcome) job_.note_success(finished);
  job_.sink_.put(std::move(finished));
  tell_the_others();
}

void joint_job::member::flush() {
  const auto lock = job_.hold();
  job_.sink_.flush();
}

bool joint_job::member::must_be_durable() const {
  const auto lock = job_.hold();
  return job_.sink_.must_be_durable();
}

void joint_job::member::make_durable(const std::function<void(std::exception_ptr)>& done) {
  const auto lock = job_.hold();
  job_.sink_.make_durable(done);
}

void joint_job::member::sync() {
  const auto lock = job_.hold();
  job_.sink_.sync();
}

}  // namespace sluice
