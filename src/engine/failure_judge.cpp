#include "engine/failure_judge.hpp"

#include <boost/asio/post.hpp>
#include <utility>

namespace sluice {

using rule = repeated_failures::rule;

failure_judge::failure_judge(boost::asio::any_io_executor loop, request_source& source,
                             job_queue& queue, orders actions)
    : loop_(std::move(loop)), source_(source), queue_(queue), orders_(std::move(actions)) {}

bool failure_judge::has_succeeded(std::size_t job) const {
  return succeeded_.contains(job) || source_.had_success(job, {});
}

void failure_judge::succeeded(std::size_t job) {
  succeeded_.insert(job);
  if (!evidence_.empty()) settle({rule::job, job}, fate::own);
}

void failure_judge::relay_served(std::size_t relay, time_point started) {
  if (evidence_.empty()) return;
  const row refused{rule::relay, relay};
  const auto found = evidence_.find(refused);
  if (found != evidence_.end() && started >= found->second.since) settle(refused, fate::own);
}

bool failure_judge::is_enough(const row& in, const evidence& so_far) {
  return so_far.count >= (in.kept_by == rule::job ? repeated_failures::enough_of_job
                                                  : repeated_failures::enough_of_relay);
}

failure_judge::finding failure_judge::failed(const request& item, std::size_t relay, bool served,
                                             bool alone, const failure& why, unsigned sample,
                                             time_point now) {
  const bool job_succeeded = has_succeeded(item.job);
  if (job_succeeded) succeeded(item.job);  // it may have been in another engine
  const auto found = rows_.failed(item.job, job_succeeded, relay, served || job_succeeded, why);
  if (found.in.kept_by == rule::none) return {};
  if (found.first && evidence_.contains(found.in)) {  // this failure ends an earlier row
    const evidence before = std::move(evidence_[found.in]);
    evidence_.erase(found.in);
    if (is_enough(found.in, before)) {
      orders_.conclude(found.in, before);
    } else {
      release(found.in, without_proof(found.in));
    }
  }
  evidence& so_far = evidence_[found.in];
  if (found.first) so_far.since = now;
  so_far.count = found.count;
  so_far.relay = relay;
  so_far.job = item.job;
  so_far.model = item.model;
  so_far.words = described(why, {});
  constexpr unsigned in_order =
      repeated_failures::enough_of_relay - repeated_failures::from_elsewhere;
  if (found.in.kept_by == rule::relay && alone && !so_far.sampled && found.count >= in_order &&
      sampling_ == 0) {
    so_far.sampled = true;
    begin_sample(found.in, item.job);
  }
  if (sample != 0 && sample == sampling_ && --left_ == 0) end_sample();
  return {found.in, is_enough(found.in, so_far) && sampling_ == 0};
}

void failure_judge::conclude(const row& in) {
  const auto found = evidence_.find(in);
  if (found == evidence_.end()) return;
  const evidence enough = found->second;
  orders_.conclude(in, enough);
}

boost::asio::awaitable<failure_judge::fate> failure_judge::wait(const row& in) {
  auto& place = held_[in];
  if (!place) place = std::make_shared<group>();
  const auto mine = place;
  co_await mine->waiting.wait();
  co_return mine->settled;
}

void failure_judge::settle(const row& in, fate what) {
  rows_.forget(in);
  evidence_.erase(in);
  release(in, what);
}

void failure_judge::release(const row& in, fate what) {
  if (sampling_ != 0 && in == sampled_for_) end_sample();
  const auto found = held_.find(in);
  if (found == held_.end()) return;
  const auto settled = std::move(found->second);
  held_.erase(found);
  settled->settled = what;
  settled->waiting.wake_all();
}

// The fate of a row that is too short for its rule. Without a success, an unknown refusal may still
// be caused by the key.
failure_judge::fate failure_judge::without_proof(const row& in) {
  return in.kept_by == rule::job ? fate::own : fate::unsettled;
}

void failure_judge::settle_at_the_end() {
  while (!held_.empty()) {
    const row in = held_.begin()->first;
    const auto found = evidence_.find(in);
    const bool refuted = in.kept_by == rule::job && has_succeeded(in.index);
    if (found != evidence_.end() && is_enough(in, found->second) && !refuted) conclude(in);
    settle(in, without_proof(in));  // no effect if conclude() has settled it
  }
}

void failure_judge::settle_all(fate what) {
  while (!held_.empty()) {
    const row in = held_.begin()->first;
    settle(in, what);
  }
  end_sample();
}

std::size_t failure_judge::waiting() const noexcept {
  std::size_t sum = 0;
  for (const auto& [in, one] : held_) sum += one->waiting.size();
  return sum;
}

void failure_judge::begin_sample(const row& in, std::size_t job) {
  const unsigned number = sampling_ = ++last_sample_;
  sampled_for_ = in;
  left_ = 0;
  ++looking_;
  orders_.looking(true);
  source_.look_ahead(job, repeated_failures::from_elsewhere,
                     [this, job, number, loop = loop_](std::vector<request> requests) {
                       // looking(true) keeps the run alive until this call.
                       boost::asio::post(
                           loop, [this, job, number, requests = std::move(requests)]() mutable {
                             take_sample(std::move(requests), job, number);
                           });
                     });
}

void failure_judge::take_sample(std::vector<request>&& requests, std::size_t job, unsigned number) {
  --looking_;
  if (number != sampling_) number = 0;  // the sample is over, so send them as normal requests
  // The end of the queue is also another part of the job.
  if (number != 0 && requests.size() < repeated_failures::from_elsewhere) {
    for (auto& next : queue_.sample(job, repeated_failures::from_elsewhere - requests.size())) {
      requests.push_back(std::move(next));
    }
  }
  if (number != 0) left_ = requests.size();
  for (auto& next : requests) orders_.send(std::move(next), number);
  if (number != 0 && requests.empty()) sample_returned();
  orders_.looking(false);
}

void failure_judge::sample_ended(unsigned sample) {
  if (sample == 0 || sample != sampling_) return;
  if (--left_ == 0) sample_returned();
}

// The whole sample has ended. The row may be long enough now.
void failure_judge::sample_returned() {
  end_sample();
  const auto found = evidence_.find(sampled_for_);
  if (found != evidence_.end() && is_enough(sampled_for_, found->second)) conclude(sampled_for_);
}

void failure_judge::end_sample() {
  sampling_ = 0;
  others_.wake_all();
}

}  // namespace sluice
