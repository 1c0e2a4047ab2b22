#include "server/call_counts.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <tuple>

namespace sluice::server {

// Forgets the starts that are older than a minute.
void call_counts::advance(entry& one, time_point now) {
  const auto second = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch());
  const std::int64_t passed = second.count() - one.second;
  if (passed <= 0) return;
  const auto old = std::min<std::int64_t>(passed, seconds);
  for (std::int64_t i = 1; i <= old; ++i) {
    one.starts.at(static_cast<std::size_t>((one.second + i) % std::int64_t{seconds})) = 0;
  }
  one.second = second.count();
}

call_counts::place call_counts::begin(const std::string& key, const std::string& model,
                                      time_point now) {
  auto found = places_.find({key, model});
  if (found == places_.end()) {
    const bool full = places_.size() >= most_models;
    const std::string name = full ? other_models : model;
    bool added = false;
    std::tie(found, added) = places_.try_emplace({key, name}, entries_.size());
    if (added) {
      entries_.emplace_back();
      entries_.back().sums.key = key;
      entries_.back().sums.model = name;
    }
  }
  entry& one = entries_[found->second];
  advance(one, now);
  ++one.starts.at(static_cast<std::size_t>(one.second) % seconds);
  ++one.sums.started;
  ++one.sums.in_flight;
  return found->second;
}

void call_counts::end(place call, int status) {
  row& sums = entries_[call].sums;
  --sums.in_flight;
  const auto digit = static_cast<std::size_t>(status / 100);
  ++sums.answers.at(digit < sums.answers.size() ? digit : 0);
}

void call_counts::used(place call, const std::optional<token_usage>& tokens,
                       const std::optional<usd>& cost) {
  row& sums = entries_[call].sums;
  if (tokens) sums.tokens += *tokens;
  if (cost) {
    sums.cost += *cost;
  } else {
    ++sums.unpriced;
  }
}

std::vector<call_counts::row> call_counts::rows(time_point now) const {
  std::vector<row> all;
  for (const auto& [name, at] : places_) {
    entry one = entries_[at];
    advance(one, now);
    one.sums.started_last_minute =
        std::accumulate(one.starts.begin(), one.starts.end(), std::uint64_t{0});
    all.push_back(std::move(one.sums));
  }
  return all;
}

}  // namespace sluice::server
