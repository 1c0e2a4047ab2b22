#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "sluice/totals.hpp"
#include "store/batch_record.hpp"

namespace sluice::server {

/// What the runs of batches have done since the server started: numbers that only grow. Pure: takes
/// totals. Not thread safe: use it on the event loop's thread.
class work_counts {
 public:
  /// The name under which all models and errors count that are not counted one by one.
  static constexpr std::string_view others = "other";
  /// Models and codes of errors are counted one by one up to these numbers: clients and relays
  /// choose some of them.
  static constexpr std::size_t most_models = 200;
  static constexpr std::size_t most_errors = 64;

  struct sums {
    std::uint64_t succeeded = 0;
    std::uint64_t failed = 0;
    std::uint64_t unpriced = 0;
    std::uint64_t attempts = 0;
    std::uint64_t retries = 0;
    std::map<std::string, token_usage> tokens;  ///< by model
    std::map<std::string, usd> cost;            ///< by model
    std::map<std::string, std::uint64_t> errors;
    std::map<store::batch_status, std::uint64_t> ended;  ///< batches, by their last status
    std::uint64_t store_errors = 0;
  };

  /// `is_known`: models that may be counted one by one. Clients choose the names of models, so the
  /// others count together.
  explicit work_counts(std::function<bool(std::string_view model)> is_known)
      : is_known_(std::move(is_known)) {}

  /// A run of the batch begins. What `totals` hold was done before.
  void began(const std::string& batch, const job_totals& totals);
  /// What it has done until now.
  void progressed(const std::string& batch, const job_totals& totals);
  /// The same, at the end of the run. The batch may get another one.
  void stopped(const std::string& batch, const job_totals& totals);
  /// The batch has ended.
  void ended(store::batch_status with) { ++sums_.ended[with]; }
  /// The store could not be used.
  void store_failed() { ++sums_.store_errors; }

  const sums& now() const noexcept { return sums_; }

 private:
  struct seen {
    std::uint64_t succeeded = 0;
    std::uint64_t failed = 0;
    std::uint64_t unpriced = 0;
    std::uint64_t attempts = 0;
    std::uint64_t retries = 0;
    std::map<std::string, job_totals::share> models;
    std::map<std::string, std::uint64_t> errors;
  };
  static seen look_at(const job_totals& totals);
  std::string counted_as(const std::string& model) const;

  std::function<bool(std::string_view)> is_known_;
  std::map<std::string, seen> running_;
  sums sums_;
};

}  // namespace sluice::server
