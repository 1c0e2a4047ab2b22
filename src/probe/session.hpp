#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "money/budget.hpp"
#include "probe/observation.hpp"
#include "probe/plan.hpp"
#include "sluice/request_source.hpp"
#include "sluice/result_sink.hpp"

namespace sluice::probe {

/// A plan as a run's requests, and what came of them. Its budget holds at the configured prices: an
/// attempt is made only while the most that it may cost is left. What replies cost beyond what was
/// expected, as a hidden prompt does, is expected of all that follow; so the first goes out alone.
class session final : public request_source, public result_sink {
 public:
  /// The plan outlives it. `identity`: of this probe, another for each.
  session(const claim& sold, const plan& planned, usd limit, std::string identity);

  std::optional<request> next() override;
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
  /// The price of all that the relay reported.
  usd cost() const noexcept { return cost_; }
  /// The same, each call rounded up to the unit that relays count in.
  usd rounded_cost() const noexcept { return rounded_cost_; }

 private:
  usd release(std::string_view id);

  const claim& sold_;
  const plan& plan_;
  std::string identity_;
  budget money_;
  std::map<std::string, usd, std::less<>> reserved_;  // by the request's id
  usd beyond_;                                        // that a reply may cost more than planned
  std::vector<observation> seen_;
  std::uint64_t attempts_ = 0;
  usd cost_;
  usd rounded_cost_;
  std::size_t at_ = 0;  // of the reader's thread
  std::atomic<bool> cancelled_{false};
};

}  // namespace sluice::probe
