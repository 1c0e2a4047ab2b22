#include "failure_judge.hpp"

#include <boost/asio/post.hpp>
#include <utility>

namespace sluice {

failure_judge::failure_judge(boost::asio::any_io_executor loop, request_source& source,
                             job_queue& queue, std::function<void(request&&, unsigned)> send)
    : loop_(std::move(loop)), source_(source), queue_(queue), send_(std::move(send)) {}

bool failure_judge::has_succeeded(std::size_t job) const {
  return succeeded_.contains(job) || source_.had_success(job, {});
}

void failure_judge::succeeded(std::size_t job, std::size_t relay) {
  succeeded_.insert(job);
  settle({repeated_failures::rule::job, job}, fate::own);
  settle({repeated_failures::rule::relay, relay}, fate::own);
}

failure_judge::opinion failure_judge::failed(const request& asked, std::size_t relay, bool served,
                                             bool alone, const failure& why, unsigned sample) {
  using next = opinion::next;
  const bool succeeded = has_succeeded(asked.job);
  const auto seen = rows_.failed(asked.job, succeeded, relay, served || succeeded, why);
  if (seen.in.kept_by == repeated_failures::rule::none) return {};
  if (seen.first) release(seen.in, without_proof(seen.in));  // what an earlier row held
  constexpr unsigned in_order =
      repeated_failures::enough_of_relay - repeated_failures::from_elsewhere;
  if (seen.in.kept_by == repeated_failures::rule::relay && alone && seen.count == in_order) {
    begin_sample(asked.job);
  }
  sample_ended(sample);
  const bool concluded = seen.enough && sampling_ == 0;
  return {concluded ? next::conclude : next::hold, seen.in, seen.count};
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
  release(in, what);
}

void failure_judge::release(const row& in, fate what) {
  if (in.kept_by == repeated_failures::rule::relay) end_sample();
  const auto found = held_.find(in);
  if (found == held_.end()) return;
  const auto settled = std::move(found->second);
  held_.erase(found);
  settled->settled = what;
  settled->waiting.wake_all();
}

// Without a success, a refusal in unknown words may still be the key's.
failure_judge::fate failure_judge::without_proof(const row& in) {
  return in.kept_by == repeated_failures::rule::job ? fate::own : fate::unsettled;
}

void failure_judge::settle_at_the_end() {
  while (!held_.empty()) {
    const row in = held_.begin()->first;
    settle(in, without_proof(in));
  }
}

void failure_judge::settle_all(fate what) {
  while (!held_.empty()) settle(held_.begin()->first, what);
  end_sample();
}

std::size_t failure_judge::waiting() const noexcept {
  std::size_t sum = 0;
  for (const auto& [in, one] : held_) sum += one->waiting.size();
  return sum;
}

void failure_judge::begin_sample(std::size_t job) {
  const unsigned number = sampling_ = ++last_sample_;
  left_ = 0;
  source_.look_ahead(
      job, repeated_failures::from_elsewhere,
      [this, number, alive = std::weak_ptr<int>(alive_), loop = loop_](std::vector<request> taken) {
        // What comes when the run is over stays pending.
        boost::asio::post(loop, [this, number, alive, taken = std::move(taken)]() mutable {
          if (!alive.expired()) take_sample(std::move(taken), number);
        });
      });
}

void failure_judge::take_sample(std::vector<request>&& taken, unsigned number) {
  if (number != sampling_) number = 0;  // it is over, and these are like any other
  // The reader is ahead of the run: the end of what it has read is elsewhere, too.
  if (number != 0 && taken.size() < repeated_failures::from_elsewhere) {
    for (auto& next : queue_.sample(repeated_failures::from_elsewhere - taken.size())) {
      taken.push_back(std::move(next));
    }
  }
  if (number != 0) left_ = taken.size();
  for (auto& next : taken) send_(std::move(next), number);
  if (number != 0 && taken.empty()) end_sample();
}

void failure_judge::sample_ended(unsigned sample) {
  if (sample == 0 || sample != sampling_) return;
  if (--left_ == 0) end_sample();
}

void failure_judge::end_sample() {
  sampling_ = 0;
  others_.wake_all();
}

}  // namespace sluice
