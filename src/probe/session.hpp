#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "money/budget.hpp"
#include "probe/evidence.hpp"
#include "probe/observation.hpp"
#include "probe/plan.hpp"
#include "sluice/request_source.hpp"
#include "sluice/result_sink.hpp"

namespace sluice::probe {

/// Feeds the samples of a plan to a run and collects their results. Not thread safe, except next()
/// and cancel(), which the reader's thread may call.
///
/// The budget is kept at the configured prices: an attempt starts only if the rest of the budget
/// covers its highest cost. If a reply costs more than planned, as with a hidden prompt, all later
/// samples reserve that much more. So the first sample is sent alone. The samples of the cache
/// check are sent in a separate run, one after another, since a prompt is in the cache only after
/// it was served.
class session final : public request_source, public result_sink {
 public:
  /// `sold` and `planned` must outlive this object. `identity` must be unique to this probe.
  session(const claim& sold, const plan& planned, usd limit, std::string identity);

  /// The next sample. The first run ends before the samples of the cache check; after
  /// begin_cache_check() these follow.
  std::optional<request> next() override;
  /// Call it after the first run has ended. Returns whether there are samples for another run.
  bool begin_cache_check();
  void cancel() override { cancelled_.store(true); }
  std::string_view identity(std::size_t) const override { return identity_; }

  funds reserve(const request& next) override;
  void unreserve(const request& next) override;
  void attempt_started(const attempt_record& attempt) override;
  void attempt_ended(const attempt_record& attempt, attempt_end how) override;
  void put(result&& finished) override;
  void flush() override {}

  const std::vector<observation>& seen() const noexcept { return seen_; }
  std::uint64_t attempts() const noexcept { return attempts_; }
  /// The price of the usage that the relay reported, for all samples.
  usd cost() const noexcept { return before_cache_.cost + in_cache_check_.cost; }
  const charges& before_cache() const noexcept { return before_cache_; }
  const charges& in_cache_check() const noexcept { return in_cache_check_; }

 private:
  usd release(std::string_view id);
  void add_lost(usd most);

  const claim& sold_;
  const plan& plan_;
  std::string identity_;
  budget money_;
  std::map<std::string, usd, std::less<>> reserved_;  // by request id
  usd extra_cost_;  // the largest amount by which a reply cost more than planned
  std::vector<observation> seen_;
  std::uint64_t attempts_ = 0;
  charges before_cache_;
  charges in_cache_check_;
  bool cache_check_began_ = false;
  std::size_t ended_in_cache_check_ = 0;  // samples of the cache check that have their result
  std::size_t next_ = 0;          // index of the next sample; used only by the reader's thread
  std::atomic<std::size_t> end_;  // next() ends before it
  std::atomic<bool> cancelled_{false};
};

}  // namespace sluice::probe
