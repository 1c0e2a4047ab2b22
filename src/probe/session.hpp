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

/// Feeds the samples of a plan to a run and collects their results. Not thread safe, except next()
/// and cancel(), which the reader's thread may call.
///
/// The budget holds at the configured prices: an attempt starts only if its highest cost is left.
/// If a reply costs more than planned, as with a hidden prompt, all later samples reserve that much
/// more. So the first sample is sent alone.
class session final : public request_source, public result_sink {
 public:
  /// `sold` and `planned` must outlive this object. `identity` must be unique to this probe.
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
  /// The price of the usage that the relay reported.
  usd cost() const noexcept { return cost_; }
  /// The same, with each call rounded up to the unit in which relays count money.
  usd rounded_cost() const noexcept { return rounded_cost_; }

 private:
  usd release(std::string_view id);

  const claim& sold_;
  const plan& plan_;
  std::string identity_;
  budget money_;
  std::map<std::string, usd, std::less<>> reserved_;  // by request id
  usd extra_cost_;                                    // most that a reply cost more than planned
  std::vector<observation> seen_;
  std::uint64_t attempts_ = 0;
  usd cost_;
  usd rounded_cost_;
  std::size_t next_ = 0;  // index of the next sample; used only by the reader's thread
  std::atomic<bool> cancelled_{false};
};

}  // namespace sluice::probe
