#include "engine/model_outages.hpp"

#include <algorithm>

namespace sluice {

duration model_outages::backoff(unsigned steps) const {
  duration wait = options_.backoff_base;
  for (unsigned i = 1; i < steps && wait < options_.backoff_cap; ++i) wait *= 2;
  return std::min(wait, options_.backoff_cap);
}

model_outages::state model_outages::ask(std::string_view model, time_point now) {
  const auto found = out_.find(model);
  if (found == out_.end()) return state::serving;
  outage& one = found->second;
  if (one.given_up) return state::given_up;
  if (one.on_trial || now < one.next) return state::waiting;
  one.on_trial = true;
  return state::trial;
}

std::optional<time_point> model_outages::next_trial(std::string_view model) const {
  const auto found = out_.find(model);
  if (found == out_.end() || found->second.on_trial || found->second.given_up) return std::nullopt;
  return found->second.next;
}

bool model_outages::is_given_up(std::string_view model) const {
  const auto found = out_.find(model);
  return found != out_.end() && found->second.given_up;
}

void model_outages::refused(std::string_view model, bool was_trial, time_point now) {
  const auto [place, fresh] = out_.try_emplace(std::string(model));
  outage& one = place->second;
  if (fresh) one.since = now;
  if (!fresh && !was_trial) return;
  one.on_trial = false;
  one.next = now + backoff(++one.steps);
  one.given_up = now - one.since >= options_.give_up_after;
}

bool model_outages::answered(std::string_view model, time_point started) {
  const auto found = out_.find(model);
  if (found == out_.end() || started < found->second.since) return false;
  out_.erase(found);
  return true;
}

void model_outages::trial_wasted(std::string_view model, time_point now) {
  const auto found = out_.find(model);
  if (found == out_.end()) return;
  outage& one = found->second;
  one.on_trial = false;
  one.next = now + backoff(std::max(one.steps, 1U));
  one.given_up = now - one.since >= options_.give_up_after;
}

void model_outages::trial_unmade(std::string_view model) {
  const auto found = out_.find(model);
  if (found != out_.end()) found->second.on_trial = false;
}

}  // namespace sluice
