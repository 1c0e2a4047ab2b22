#include "page/job_timeline.hpp"

#include <algorithm>
#include <cmath>

namespace sluice {
namespace {

constexpr double latest = 1e11;

std::int64_t half_of(std::int64_t number) {
  return static_cast<std::int64_t>(std::floor(static_cast<double>(number) / 2));
}

void add(job_timeline::step& sum, const job_timeline::step& more) {
  sum.started += more.started;
  sum.succeeded += more.succeeded;
  sum.failed += more.failed;
  sum.output_tokens += more.output_tokens;
  sum.ttft_ms += more.ttft_ms;
  sum.ttfts += more.ttfts;
  sum.inter_token_ms += more.inter_token_ms;
  sum.inter_tokens += more.inter_tokens;
}

}  // namespace

job_timeline::bin* job_timeline::bin_at(double at) {
  if (!(at > 0 && at < latest)) return nullptr;
  for (;;) {
    const auto number = static_cast<std::int64_t>(std::floor(at / step_s_));
    if (bins_.empty()) first_ = number;
    const std::int64_t first = std::min(first_, number);
    const std::int64_t last =
        std::max(first_ + static_cast<std::int64_t>(bins_.size()) - 1, number);
    if (last - first < static_cast<std::int64_t>(most_steps)) {
      bins_.insert(bins_.begin(), static_cast<std::size_t>(first_ - first), bin{});
      first_ = first;
      bins_.resize(static_cast<std::size_t>(last - first) + 1);
      return &bins_[static_cast<std::size_t>(number - first)];
    }
    merge_neighbours();
  }
}

double job_timeline::end_of(const bin& one) const {
  return static_cast<double>(first_ + (&one - bins_.data()) + 1) * step_s_;
}

void job_timeline::merge_neighbours() {
  const std::int64_t first = half_of(first_);
  std::vector<bin> merged;
  for (std::size_t at = 0; at < bins_.size(); ++at) {
    const std::int64_t number = first_ + static_cast<std::int64_t>(at);
    const auto place = static_cast<std::size_t>(half_of(number) - first);
    merged.resize(place + 1);
    bin& sum = merged[place];
    const bin& more = bins_[at];
    // The earlier of two ends a step before their common end.
    const double farther = number % 2 == 0 ? step_s_ : 0;
    sum.start_tails += more.start_tails + static_cast<double>(more.sums.started) * farther;
    sum.finish_tails += more.finish_tails + static_cast<double>(more.sums.finished()) * farther;
    add(sum.sums, more.sums);
  }
  bins_ = std::move(merged);
  first_ = first;
  step_s_ *= 2;
}

std::vector<job_timeline::step> job_timeline::steps() const {
  std::vector<step> told;
  double running = 0;  // when the step begins
  for (const bin& one : bins_) {
    told.push_back(one.sums);
    told.back().in_flight = std::max(0.0, running + (one.start_tails - one.finish_tails) / step_s_);
    running += static_cast<double>(one.sums.started) - static_cast<double>(one.sums.finished());
  }
  return told;
}

}  // namespace sluice
