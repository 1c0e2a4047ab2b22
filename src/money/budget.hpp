#pragma once

#include <cstdint>

#include "sluice/job.hpp"
#include "sluice/money.hpp"
#include "sluice/result_sink.hpp"

namespace sluice {

/// What a command may spend over all its jobs, and what of it is spoken for: an attempt goes out
/// only when the most it can cost still fits beside what was spent and what others in flight may
/// cost. Hence the bill never passes the limit, whatever becomes of them. Pure; not thread safe.
class budget {
 public:
  explicit budget(usd limit) : limit_(limit) {}

  /// What lines and attempts of unknown outcome have cost before, or what was spent elsewhere;
  /// below zero: less was spent there than was added before.
  void add_spent(usd amount) noexcept { spent_ += amount; }

  funds reserve(usd most) noexcept {
    if (spent_ + reserved_ + most <= limit_) {
      reserved_ += most;
      return funds::reserved;
    }
    return reserved_ > usd{} ? funds::wait : funds::spent;
  }
  /// What is neither spent nor reserved.
  usd left() const noexcept {
    usd left = limit_;
    left -= spent_;
    left -= reserved_;
    return left;
  }
  /// The attempt cost nothing.
  void give_back(usd most) noexcept { reserved_ -= most; }
  /// It cost so much; `most` where that is unknown.
  void settle(usd most, usd cost) noexcept {
    reserved_ -= most;
    spent_ += cost;
  }

 private:
  usd limit_;
  usd spent_;
  usd reserved_;
};

/// The limit of each reply with which the request would cost no more than `left`, in tokens; 0: its
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
