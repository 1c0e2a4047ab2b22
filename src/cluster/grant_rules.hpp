#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "cluster/job_store.hpp"

namespace sluice::cluster {

/// The window of one relay and key that all machines share. It has the starts and tokens that the
/// relay may still count, and the grants of the workers. Pure: takes the time of the database, in
/// microseconds since the epoch. Between two calls it is stored as text.
///
/// A worker holds a grant of n starts that is valid until t. It returns unused starts. A used start
/// becomes free again 60 s after the latest moment at which it can have arrived at the relay. If a
/// worker is silent, its grant becomes free 60 s after the latest moment at which a start made
/// until t can have arrived. So at most `cap` starts arrive in any 60 s, even if workers die or
/// freeze.
///
/// If the database's clock is set while workers run, the next call of any worker shows it. The
/// window then continues with the time that has really passed. A worker's first call cannot show
/// it, so a first call changes nothing.
class shared_grants {
 public:
  /// Two clocks may differ by this much; a larger difference means that one of them was set.
  static constexpr std::int64_t clock_slack = 250'000;
  /// 60 s, plus a margin for two cases: the relay's clock is up to 300 ppm slower than the
  /// database's, or the database's clock is set by too little to be noticed.
  static constexpr std::int64_t length = 60'018'000 + clock_slack;
  /// Release times are rounded up to a multiple of this, so that the text stays short.
  static constexpr std::int64_t step = 200'000;

  shared_grants() = default;
  /// Reads the text that text() has written. Throws store::store_error for any other text.
  explicit shared_grants(std::string_view text);
  std::string text() const;

  /// `begun`: the time at which the database received the call. The call may then have waited for
  /// others until `now`.
  window_answer call(const window_call& asked, std::int64_t begun, std::int64_t now);
  window_answer call(const window_call& asked, std::int64_t now) { return call(asked, now, now); }

  /// Returns the number of starts that count now; for tests.
  std::uint64_t counted() const noexcept;

 private:
  struct amount {
    std::uint64_t starts = 0;
    std::int64_t tokens = 0;
  };
  struct holder {
    amount held;
    std::int64_t valid_until = 0;
    std::int64_t reach = 0;
    bool wants = false;
  };

  void follow_clock(const window_call& asked, std::int64_t begun, std::int64_t now);
  void settle();
  void take_report(const window_call& asked);
  amount grant(const window_call& asked);
  static std::int64_t rounded(std::int64_t when) noexcept {
    return (when + step - 1) / step * step;
  }
  amount all() const noexcept;

  std::uint64_t clock_steps_ = 0;
  std::int64_t offset_ = 0;  // difference between the window's time and the database's clock
  // Time of the last call, in the window's time. The following times are also in the window's time.
  std::int64_t now_ = 0;
  std::int64_t paused_until_ = 0;
  std::map<std::int64_t, amount> releases_;  // by the time when they leave the window
  std::map<std::string, holder> holders_;
};

}  // namespace sluice::cluster
