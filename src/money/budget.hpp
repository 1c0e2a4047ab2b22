#pragma once

#include "sluice/money.hpp"
#include "sluice/result_sink.hpp"

namespace sluice {

/// What a command may spend over all its jobs, and what of it is spoken for: an attempt goes out
/// only when the most it can cost still fits beside what was spent and what others in flight may
/// cost. Hence the bill never passes the limit, whatever becomes of them. Pure; not thread safe.
class budget {
 public:
  explicit budget(usd limit) : limit_(limit) {}

  /// What lines and attempts of unknown outcome have cost before.
  void add_spent(usd amount) noexcept { spent_ += amount; }

  funds reserve(usd most) noexcept {
    if (spent_ + reserved_ + most <= limit_) {
      reserved_ += most;
      return funds::reserved;
    }
    return reserved_ > usd{} ? funds::wait : funds::spent;
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

}  // namespace sluice
