#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "sluice/clock.hpp"

namespace sluice {

/// Models that have answered and then lost their upstream ("no available channel for model …"):
/// such a model is out, its requests wait, and one trial at a time shows whether it is back. After
/// `give_up_after` it is given up. Pure: takes `now`; one object a run; not thread safe.
class model_outages {
 public:
  struct options {
    duration give_up_after = std::chrono::minutes{10};
    duration backoff_base = std::chrono::seconds{1};
    duration backoff_cap = std::chrono::seconds{60};
  };
  enum class state : std::uint8_t {
    serving,   ///< for all that is known
    trial,     ///< out; the caller may make the one trial, and reports how it ended
    waiting,   ///< out; nothing before next_trial(), or while a trial is under way
    given_up,  ///< out for as long as give_up_after
  };

  explicit model_outages(const options& chosen) : options_(chosen) {}

  /// What a request for the model may do now.
  state ask(std::string_view model, time_point now);
  /// When the next trial may start; nothing while the model serves, or a trial is under way.
  std::optional<time_point> next_trial(std::string_view model) const;
  bool is_given_up(std::string_view model) const;
  bool any() const noexcept { return !out_.empty(); }

  /// A relay answered that the model has no upstream. `was_trial`: the attempt was the
  /// trial; the others that were on their way change nothing.
  void refused(std::string_view model, bool was_trial, time_point now);
  /// The model has answered an attempt that started then. True: it was out, and serves again.
  bool answered(std::string_view model, time_point started);
  /// The trial ended in a way that says nothing of the model.
  void trial_wasted(std::string_view model, time_point now);

 private:
  struct outage {
    time_point since{};
    time_point next{};  // trial
    unsigned steps = 0;
    bool on_trial = false;
    bool given_up = false;
  };
  duration backoff(unsigned steps) const;

  options options_;
  std::map<std::string, outage, std::less<>> out_;
};

}  // namespace sluice
