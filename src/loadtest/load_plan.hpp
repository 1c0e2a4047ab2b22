#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "loadtest/load.hpp"

namespace sluice::bench {

/// The sequence of loads: a list, or a sweep that doubles the load until the throughput no longer
/// grows, or until no target has a success or all refuse the load. Pure.
class load_plan {
 public:
  /// The result of a target under the last load.
  struct outcome {
    double throughput = 0;  ///< successes per second
    bool held_by_cap = false;
    bool held_by_budget = false;
    /// It gets no more of the load, because it answered many requests in a row with 429.
    bool refused = false;
  };

  /// If twice the load does not increase the throughput by this factor, the sweep ends.
  static constexpr double least_growth = 1.05;

  explicit load_plan(std::vector<load> fixed) : list_(std::move(fixed)) {}
  /// A sweep from `first` up to at most `most` requests in flight or starts per minute.
  static load_plan sweep(const load& first, double most);

  /// The next load; nullopt: the plan is finished.
  std::optional<load> next();
  /// The loads that next() has not returned yet, as far as they are known.
  std::vector<load> left() const;
  /// Reports the results of the load that next() returned, for each target that is still measured.
  void ended(const std::vector<outcome>& targets);

  /// Why a sweep ended, in words for the user; empty for a list.
  const std::string& why() const noexcept { return why_; }
  /// The number of loads; nullopt: not known in advance.
  std::optional<std::size_t> size() const;

 private:
  std::vector<load> list_;
  std::size_t at_ = 0;
  double most_ = 0;  // upper bound of a sweep
  std::vector<outcome> before_;
  std::string why_;
};

}  // namespace sluice::bench
