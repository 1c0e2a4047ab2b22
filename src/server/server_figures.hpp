#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/totals.hpp"
#include "store/batch_record.hpp"

namespace sluice::server {

/// The store's form of a job's totals.
store::batch_progress progress_of(const job_totals& totals);

/// What the runs of batches have done since the server started, for each owner: results over the
/// last hour, errors by class, successes by model. It starts empty: what the batches have done in
/// all is in the store. Pure: takes totals and times. Not thread safe.
class server_figures {
 public:
  static constexpr std::int64_t step_s = 10;  ///< seconds of one step of the last hour
  static constexpr std::size_t most_steps = 360;
  /// It remembers this number of batches one by one; of older ones, only the sums by owner.
  static constexpr std::size_t most_batches = 10'000;

  explicit server_figures(double unix_now) : started_at_(unix_now) {}

  /// A run begins. `totals` hold what earlier runs have done, which is not done now.
  void began(std::string_view batch, std::string_view owner, const job_totals& totals,
             double unix_now);
  /// What the run of a batch has done until now.
  void progressed(std::string_view batch, const job_totals& totals, double unix_now);
  /// Its run is over. The batch may get another one.
  void ended(std::string_view batch, const job_totals& totals, double unix_now);

  double started_at() const noexcept { return started_at_; }

  /// Results of one step.
  struct step {
    std::uint64_t completed = 0;
    std::uint64_t failed = 0;
    std::int64_t tokens = 0;
  };
  struct recent_hour {
    std::int64_t begins_at = 0;  ///< Unix time of the first step, a multiple of step_s
    std::vector<step> steps;     ///< the last one has only begun
  };
  /// Since the start of the server, but at most one hour.
  recent_hour recent(std::string_view owner, double unix_now) const;

  /// The failures of all batches that ran here, also those of their runs before the start.
  std::map<std::string, std::uint64_t> errors(std::string_view owner) const;

  struct batch_figures {
    store::batch_progress progress;
    std::map<std::string, job_totals::share> models;
    std::map<std::string, std::uint64_t> errors;
  };
  /// Null: no run of the batch is known. Valid until the next change.
  const batch_figures* batch(std::string_view id) const;

 private:
  struct watched {
    std::string owner;
    batch_figures now;
    double at = 0;  // of the last report
    bool running = false;
  };
  struct owner_figures {
    std::int64_t last_step = 0;  // since 1970, of the newest in `steps`
    std::array<step, most_steps> steps{};
    std::map<std::string, std::uint64_t> old_errors;  // of batches that are not known any more
  };

  void take(watched& one, const job_totals& totals, double unix_now);
  void add(owner_figures& to, const step& done, double from, double until);
  void forget_old();
  static void move_to(owner_figures& to, std::int64_t number);

  double started_at_;
  std::map<std::string, watched, std::less<>> batches_;
  std::deque<std::string> order_;  // ids, oldest first
  std::map<std::string, owner_figures, std::less<>> owners_;
};

}  // namespace sluice::server
