#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "sluice/clock.hpp"

namespace sluice {

/// Models that answered before and then lost their upstream ("no available channel for model …").
/// Pure: takes `now`. Not thread safe; one object for each run. Such a model is out: its requests
/// wait, and one trial at a time shows whether it is back. After `give_up_after` it is given up.
class model_outages {
 public:
  struct options {
    duration give_up_after = std::chrono::minutes{10};
    duration backoff_base = std::chrono::seconds{1};
    duration backoff_cap = std::chrono::seconds{60};
  };
  enum class state : std::uint8_t {
    serving,   ///< no outage known
    trial,     ///< out; the caller makes the trial and must report how it ended
    waiting,   ///< out; wait until next_trial(), or until the current trial ends
    given_up,  ///< out for `give_up_after`
  };

  explicit model_outages(const options& settings) : options_(settings) {}

  /// What a request for the model may do now.
  state ask(std::string_view model, time_point now);
  /// When the next trial may start; nothing if the model serves, or during a trial.
  std::optional<time_point> next_trial(std::string_view model) const;
  bool is_given_up(std::string_view model) const;
  bool any() const noexcept { return !out_.empty(); }

  /// A relay answered that the model has no upstream. `was_trial`: the attempt was the trial; other
  /// attempts during an outage change nothing.
  void refused(std::string_view model, bool was_trial, time_point now);
  /// The model answered an attempt that started at `started`. True: this ends an outage.
  bool answered(std::string_view model, time_point started);
  /// The trial ended in a way that says nothing about the model.
  void trial_wasted(std::string_view model, time_point now);
  /// The trial was not made, and its request does not return: another one may make it at once.
  void trial_unmade(std::string_view model);

 private:
  struct outage {
    time_point since{};
    time_point next{};  // time of the next trial
    unsigned steps = 0;
    bool on_trial = false;
    bool given_up = false;
  };
  duration backoff(unsigned steps) const;

  options options_;
  std::map<std::string, outage, std::less<>> out_;
};

}  // namespace sluice
