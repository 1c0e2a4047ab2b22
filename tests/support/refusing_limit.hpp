#pragma once

#include <functional>
#include <optional>

#include "upstream/shared_limit.hpp"

namespace sluice::test {

/// A limit of several machines that refuses each start only in take(), like one whose grant has too
/// few tokens for it.
class refusing_limit final : public shared_limit {
 public:
  bool refuses = true;
  std::function<void()> on_take;  ///< may be empty

  std::optional<ticket> take(time_point, std::uint64_t) override {
    if (on_take) on_take();
    if (refuses) return std::nullopt;
    return ++last_;
  }
  time_point next(time_point now) override { return now; }
  bool holds(ticket, time_point) const override { return true; }
  void sent(ticket, time_point) override {}
  void answered(ticket, time_point) override {}
  void cancel(ticket, time_point) override {}
  void correct(ticket, std::uint64_t, time_point) override {}
  void done(ticket) override {}
  void pause(time_point, time_point) override {}
  time_point paused_until() const override { return {}; }
  void set_limits(std::uint64_t, std::uint64_t) override {}

 private:
  ticket last_ = 0;
};

}  // namespace sluice::test
