#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>

#include "sluice/clock.hpp"

namespace sluice {

/// The moments by which something must have happened: each step within its wait, and the whole in
/// the end. They are moved often and set on the clock seldom: the alarm looks at them as it rings,
/// and calls `cut` if one has passed.
///
/// What has arrived is read before anything is cut. An alarm that rings late shows that the program
/// or its machine stood still (Ctrl-Z, a paused machine): that time was not the relay's, so the
/// step begins anew and the whole gets as much longer, and time enough to go on. An alarm in time
/// leaves a moment for what `unread` knows of, once for each step.
class deadline {
 public:
  /// So late no busy event loop rings.
  static constexpr duration standstill = std::chrono::milliseconds{500};
  /// What is left of the whole behind it, at least; but no more than the whole was.
  static constexpr duration after_standstill = std::chrono::seconds{10};
  /// So many are made up for: an event loop that is late again and again is only slow.
  static constexpr unsigned most_standstills = 8;
  /// To read what has arrived.
  static constexpr duration last_look = std::chrono::milliseconds{100};

  deadline(
      clock& clock, std::function<void()> cut, std::function<bool()> unread = [] { return false; })
      : clock_(clock), cut_(std::move(cut)), unread_(std::move(unread)) {}
  deadline(const deadline&) = delete;
  deadline& operator=(const deadline&) = delete;
  ~deadline() {
    if (alarm_ != 0) clock_.cancel(alarm_);
  }

  /// The whole must be over then; there is no step. A name tells what has passed, should it pass;
  /// it must outlive the deadline.
  void begin(time_point whole, std::string_view name) {
    whole_ = {whole, whole - clock_.now(), name};
    step_ = {};
    standstills_ = 0;
    keep_alarm();
  }
  /// The next step must be done within that time.
  void set(duration wait, std::string_view name) {
    step_ = {clock_.now() + wait, wait, name};
    keep_alarm();
  }
  void end_step() noexcept { step_ = {}; }
  /// What passes from now on is this program's own: nothing is cut until go_on().
  void hold() noexcept { held_since_ = clock_.now(); }
  void go_on() {
    const duration lost = clock_.now() - *std::exchange(held_since_, std::nullopt);
    for (bound* each : {&step_, &whole_}) {
      if (each->at != time_point::max()) each->at += lost;
    }
    keep_alarm();
  }
  void lift() noexcept { step_ = whole_ = {}; }

  /// By which the whole must be over, with what was added for standstills.
  time_point whole() const noexcept { return whole_.at; }
  bool passed() const noexcept { return passed_; }
  std::string_view name() const noexcept { return passed_name_; }  ///< of what has passed

 private:
  struct bound {
    time_point at = time_point::max();
    duration wait{};
    std::string_view name;
    bool last_look_given = false;
  };

  const bound& first() const noexcept { return step_.at < whole_.at ? step_ : whole_; }
  void keep_alarm() {
    if (held_since_) return;
    if (alarm_ == 0 || first().at < alarm_at_) arm();
  }
  void arm() {
    if (alarm_ != 0) clock_.cancel(alarm_);
    alarm_at_ = std::max(first().at, clock_.now());
    alarm_ = clock_.call_at(alarm_at_, [this] {
      alarm_ = 0;
      ring();
    });
  }
  void ring() {
    if (held_since_) return;
    const time_point now = clock_.now();
    if (now - alarm_at_ > standstill && standstills_ < most_standstills) {
      ++standstills_;
      make_up_for(now - alarm_at_, now);
    }
    if (first().at == time_point::max()) return;
    if (now < first().at) return arm();
    if (unread_() && give_last_look(now)) return arm();
    passed_ = true;
    passed_name_ = first().name;
    cut_();
  }
  void make_up_for(duration lost, time_point now) {
    if (step_.at != time_point::max()) step_.at = now + step_.wait;
    if (whole_.at == time_point::max()) return;
    // The standstill may have begun long before the alarm fell due.
    const duration to_go_on = std::min(std::max(after_standstill, step_.wait), whole_.wait);
    whole_.at = std::max(whole_.at + lost, now + to_go_on);
  }
  bool give_last_look(time_point now) {
    bool given = false;
    for (bound* each : {&step_, &whole_}) {
      if (each->at > now || std::exchange(each->last_look_given, true)) continue;
      each->at = now + last_look;
      given = true;
    }
    return given;
  }

  clock& clock_;
  std::function<void()> cut_;
  std::function<bool()> unread_;
  clock::timer alarm_ = 0;
  time_point alarm_at_{};
  bound step_;
  bound whole_;
  std::optional<time_point> held_since_;
  unsigned standstills_ = 0;
  bool passed_ = false;
  std::string_view passed_name_;
};

}  // namespace sluice
