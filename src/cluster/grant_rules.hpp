#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "cluster/job_store.hpp"

namespace sluice::cluster {

/// The window of one relay and key, as all machines share it: the starts and tokens that the relay
/// may still count, and the grants that workers hold. Pure: takes the time of the database, in
/// microseconds since the epoch, and is stored as text between two calls.
///
/// A worker holds a grant of n starts that is valid until t. It returns what it does not use. What
/// it used is free again 60 s after the last moment at which it can have arrived at the relay, and
/// what a silent worker holds 60 s after the last moment at which a start that it made in time can
/// have arrived. Hence at most `cap` starts in any 60 s, whichever workers die or freeze.
///
/// If the database's clock is set while workers run, the next call of any of them shows it, and the
/// window goes on by the time that has really passed. A worker's first call shows nothing, so it
/// changes nothing.
class shared_grants {
 public:
  /// Two clocks may differ by this without a step of one of them.
  static constexpr std::int64_t clock_slack = 250'000;
  /// 60 s, plus a margin for a relay whose clock is up to 300 ppm slower than the database's, and
  /// for a step of that clock that is too small to be noticed.
  static constexpr std::int64_t length = 60'018'000 + clock_slack;
  /// Releases are rounded up to a multiple of this, so that the text stays short.
  static constexpr std::int64_t step = 200'000;

  shared_grants() = default;
  /// Reads what text() wrote. Throws store::store_error if it is something else.
  explicit shared_grants(std::string_view text);
  std::string text() const;

  /// `begun`: when the database got the call, which may have waited for others until `now`.
  window_answer call(const window_call& asked, std::int64_t begun, std::int64_t now);
  window_answer call(const window_call& asked, std::int64_t now) { return call(asked, now, now); }

  /// The starts that count now, for tests.
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
  std::int64_t offset_ = 0;  // of the window's time from the database's clock
  std::int64_t now_ = 0;     // of the last call, in the window's time, as are all that follow
  std::int64_t paused_until_ = 0;
  std::map<std::int64_t, amount> releases_;  // by the time when they leave the window
  std::map<std::string, holder> holders_;
};

}  // namespace sluice::cluster
