#pragma once

#include <cstdint>

#include "sluice/job.hpp"
#include "sluice/money.hpp"
#include "sluice/result_sink.hpp"

namespace sluice {

/// The amount that a command may spend on all its jobs. An attempt may start only if its highest
/// possible cost still fits into the limit, together with the amount already spent and the highest
/// possible cost of the attempts in flight. So the bill never exceeds the limit, whatever happens
/// to the attempts. Pure; not thread safe.
class budget {
 public:
  explicit budget(usd limit) : limit_(limit) {}

  /// Adds the cost of earlier lines and of attempts with an unknown outcome, or an amount that was
  /// spent elsewhere. A negative amount corrects an earlier call that added too much.
  void add_spent(usd amount) noexcept { spent_ += amount; }

  funds reserve(usd most) noexcept {
    if (spent_ + reserved_ + most <= limit_) {
      reserved_ += most;
      return funds::reserved;
    }
    return reserved_ > usd{} ? funds::wait : funds::spent;
  }
  /// The amount that is neither spent nor reserved.
  usd left() const noexcept {
    usd left = limit_;
    left -= spent_;
    left -= reserved_;
    return left;
  }
  /// Releases a reservation; the attempt cost nothing.
  void give_back(usd most) noexcept { reserved_ -= most; }
  /// Replaces a reservation by the cost of the attempt; `cost` is `most` if the cost is unknown.
  void settle(usd most, usd cost) noexcept {
    reserved_ -= most;
    spent_ += cost;
  }

 private:
  usd limit_;
  usd spent_;
  usd reserved_;
};

/// The largest limit for each reply, in tokens, with which the request costs at most `left`; 0: its
/// prompt alone costs more. Pure.
inline std::int64_t reply_limit_within(usd left, const request& next) noexcept {
  const usd::units for_replies = left.count() - next.most_for_prompt.count();
  if (for_replies <= 0 || next.most_reply_tokens <= 0) return 0;
  const usd::units a_token =
      (next.most.count() - next.most_for_prompt.count()) / next.most_reply_tokens;
  if (a_token <= 0) return 0;
  return static_cast<std::int64_t>(for_replies / a_token / next.billed_replies);
}

}  // namespace sluice
