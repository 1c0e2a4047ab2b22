#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>

#include "sluice/clock.hpp"

namespace sluice {

/// Two timeouts of one operation: for its current step, and for the whole. Not thread safe: use it
/// on the event loop's thread. If one expires, `cut` is called. The timeouts change often, so the
/// alarm is not set again each time; it checks the timeouts when it rings.
///
/// If the alarm rings late, the program or the machine was suspended (Ctrl-Z, a paused virtual
/// machine). That time does not count: the step starts again, and the whole is extended. If it
/// rings in time but `unread` says that data has arrived, `cut` waits another `last_look`, once for
/// each step, so that the data is read first.
class deadline {
 public:
  /// If the alarm is later than this, the program was suspended; a busy event loop is never so
  /// late.
  static constexpr duration standstill = std::chrono::milliseconds{500};
  /// The least time left for the whole after a standstill, but never more than its full timeout.
  static constexpr duration after_standstill = std::chrono::seconds{10};
  /// At most this number of standstills is compensated. An event loop that is often late is simply
  /// slow.
  static constexpr unsigned most_standstills = 8;
  /// Extra time to read data that has arrived.
  static constexpr duration last_look = std::chrono::milliseconds{100};

  deadline(
      clock& clock, std::function<void()> cut, std::function<bool()> unread = [] { return false; })
      : clock_(clock), cut_(std::move(cut)), unread_(std::move(unread)) {}
  deadline(const deadline&) = delete;
  deadline& operator=(const deadline&) = delete;
  ~deadline() {
    if (alarm_ != 0) clock_.cancel(alarm_);
  }

  /// Sets the end of the whole, without a step. `name` says which timeout expired; it must outlive
  /// this object.
  void begin(time_point whole, std::string_view name) {
    whole_ = {whole, whole - clock_.now(), name};
    step_ = {};
    standstills_ = 0;
    keep_alarm();
  }
  /// Starts a step that must end within `wait`.
  void set(duration wait, std::string_view name) {
    step_ = {clock_.now() + wait, wait, name};
    keep_alarm();
  }
  void end_step() noexcept { step_ = {}; }
  /// Stops the time until go_on(), because this program causes the delay, not the relay.
  void hold() noexcept { held_since_ = clock_.now(); }
  void go_on() {
    const duration lost = clock_.now() - *std::exchange(held_since_, std::nullopt);
    for (bound* each : {&step_, &whole_}) {
      if (each->at != time_point::max()) each->at += lost;
    }
    keep_alarm();
  }
  void lift() noexcept { step_ = whole_ = {}; }

  /// The end of the whole, including extensions for standstills.
  time_point whole() const noexcept { return whole_.at; }
  bool passed() const noexcept { return passed_; }
  std::string_view name() const noexcept { return passed_name_; }  ///< of the expired timeout

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
    // The standstill may have begun long before the alarm was due.
    const duration to_go_on = std::min(std::max(after_standstill, step_.wait), whole_.wait);
    whole_.at = std::max(whole_.at + lost, now + to_go_on);
  }
  bool give_last_look(time_point now) {
    bool extended = false;
    for (bound* each : {&step_, &whole_}) {
      if (each->at > now || std::exchange(each->last_look_given, true)) continue;
      each->at = now + last_look;
      extended = true;
    }
    return extended;
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
