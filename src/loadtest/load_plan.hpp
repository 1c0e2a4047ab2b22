#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "loadtest/load.hpp"

namespace sluice::bench {

/// Which loads follow each other: a list, or a sweep that doubles the load until throughput no
/// longer grows. Pure.
class load_plan {
 public:
  /// How a target did under the last load.
  struct outcome {
    double throughput = 0;  ///< successes a second
    bool held_by_cap = false;
  };

  /// Twice the load must bring so much more, or the sweep has seen its end.
  static constexpr double least_growth = 1.05;

  explicit load_plan(std::vector<load> fixed) : list_(std::move(fixed)) {}
  /// From `first` on, to at most so many in flight or starts a minute.
  static load_plan sweep(const load& first, double most);

  /// Nothing: it is over.
  std::optional<load> next();
  /// The loads that next() has yet to give, as far as they are known.
  std::vector<load> left() const;
  /// What became of the load that next() gave, for each target that is still measured.
  void ended(const std::vector<outcome>& targets);

  /// Why a sweep ended, for a person; empty of a list.
  const std::string& why() const noexcept { return why_; }
  /// How many loads there are; nothing where that is not known before.
  std::optional<std::size_t> size() const;

 private:
  std::vector<load> list_;
  std::size_t at_ = 0;
  double most_ = 0;  // of a sweep
  std::vector<outcome> before_;
  std::string why_;
};

}  // namespace sluice::bench
