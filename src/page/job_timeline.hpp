#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice {

/// What happened when, in equal steps that hold any span of time in a few kilobytes: whenever there
/// would be more than `most_steps`, neighbours become one, of twice the length.
class job_timeline {
 public:
  static constexpr std::size_t most_steps = 600;

  struct step {
    std::uint64_t started = 0;
    std::uint64_t succeeded = 0;
    std::uint64_t failed = 0;
    std::int64_t output_tokens = 0;
    double in_flight = 0;  ///< the mean over the step
    // Of the requests that started in it.
    double ttft_ms = 0;  ///< their sum, of so many
    std::uint64_t ttfts = 0;
    double inter_token_ms = 0;  ///< likewise
    std::uint64_t inter_tokens = 0;

    std::uint64_t finished() const noexcept { return succeeded + failed; }
  };

  /// Both change what the step at that time holds; seconds since the epoch. A time that no clock
  /// tells (not after 1970, or past the year 5000) is passed over.
  template <typename Change>
  void add_start(double at, Change change) {
    if (bin* found = bin_at(at)) {
      ++found->sums.started;
      found->start_tails += end_of(*found) - at;
      change(found->sums);
    }
  }
  template <typename Change>
  void add_finish(double at, Change change) {
    if (bin* found = bin_at(at)) {
      found->finish_tails += end_of(*found) - at;
      change(found->sums);
    }
  }

  /// Without gaps, from `started_at` on, `step_s` each.
  std::vector<step> steps() const;
  double started_at() const noexcept { return static_cast<double>(first_) * step_s_; }
  double step_s() const noexcept { return step_s_; }

 private:
  struct bin {
    step sums;
    double start_tails = 0;   // from each start in it to its end, summed
    double finish_tails = 0;  // likewise
  };
  bin* bin_at(double at);
  double end_of(const bin& one) const;
  void merge_neighbours();

  double step_s_ = 0.5;
  std::int64_t first_ = 0;  // the number of the first bin, counted from the epoch
  std::vector<bin> bins_;
};

}  // namespace sluice
