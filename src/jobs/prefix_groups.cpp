#include "jobs/prefix_groups.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "base/hash.hpp"
#include "json/object.hpp"

namespace sluice {

std::uint64_t opening_of(const request& asked) {
  if (asked.target == endpoint::embeddings) return 0;
  const json_object body(asked.body);
  std::string opening;
  for (const std::string_view name :
       {"tools", "functions", "instructions", "messages", "prompt", "input"}) {
    if (opening.size() >= opening_bytes) break;
    opening += body.value(name).substr(0, opening_bytes - opening.size());
    // This makes a missing member different from an empty one.
    if (opening.size() < opening_bytes) opening += '\n';
  }
  if (opening.size() < opening_bytes) return 0;
  const hash128 hash = hash_of(fmt::format("{}\n{}\n{}\n{}", to_string(asked.target), asked.model,
                                           body.value("response_format"), opening));
  return std::max<std::uint64_t>(hash.high, 1);
}

void prefix_groups::arrange() {
  std::sort(requests_.begin(), requests_.end(), [](const auto& a, const auto& b) {
    return a.opening != b.opening ? a.opening < b.opening : a.line < b.line;
  });
  for (std::uint64_t i = 0; i < requests_.size(); ++i) {
    const bool alone = requests_[i].opening == 0;
    if (!alone && i > 0 && requests_[i].opening == requests_[i - 1].opening) {
      ++groups_.back().count;
    } else {
      groups_.push_back({i, 1});
    }
  }
  std::sort(groups_.begin(), groups_.end(), [this](const group& a, const group& b) {
    return requests_[a.begin].line < requests_[b.begin].line;
  });
}

prefix_groups::turn prefix_groups::next(time_point now) {
  let_go(now);
  const bool more_groups = next_group_ < groups_.size();
  if (more_groups && ready_count_ + soon_ready(now) < enough_ready) return give_leader(now);
  if (!ready_.empty()) {
    open_group& first = ready_.front();
    const placed_request given = requests_[first.next++];
    --ready_count_;
    if (first.left() == 0) ready_.pop_front();
    return given;
  }
  if (warming_.empty()) return end{};
  time_point until = time_point::max();
  for (const auto& [line, leader] : warming_) {
    // A leader that was given but is not sent yet counts as ready soon for this long.
    const time_point since = leader.started.value_or(leader.given);
    until = std::min(until, since + longest_wait > now ? since + longest_wait : now + longest_wait);
  }
  return wait{until};
}

placed_request prefix_groups::give_leader(time_point now) {
  const group& opened = groups_[next_group_++];
  const placed_request& leader = requests_[opened.begin];
  if (opened.count > 1) {
    warming_[leader.line] = {.rest = {opened.begin + 1, opened.begin + opened.count},
                             .given = now,
                             .started = std::nullopt};
  }
  return leader;
}

// The number of requests that wait for their leader's result. Groups whose leader was not sent for
// a long time do not count.
std::uint64_t prefix_groups::soon_ready(time_point now) const {
  std::uint64_t count = 0;
  for (const auto& [line, leader] : warming_) {
    if (leader.started || now - leader.given < longest_wait) count += leader.rest.left();
  }
  return count;
}

void prefix_groups::let_go(time_point now) {
  for (auto leader = warming_.begin(); leader != warming_.end();) {
    const auto one = leader++;
    if (one->second.started && now - *one->second.started >= longest_wait) make_ready(one);
  }
}

void prefix_groups::make_ready(std::map<std::uint64_t, warming_group>::iterator leader) {
  ready_count_ += leader->second.rest.left();
  ready_.push_back(leader->second.rest);
  warming_.erase(leader);
}

void prefix_groups::started(std::uint64_t line, time_point now) {
  const auto leader = warming_.find(line);
  if (leader != warming_.end() && !leader->second.started) leader->second.started = now;
}

void prefix_groups::ended(std::uint64_t line) {
  const auto leader = warming_.find(line);
  if (leader != warming_.end()) make_ready(leader);
}

std::vector<placed_request> prefix_groups::ahead(std::size_t count) const {
  std::vector<open_group> rest(ready_.begin(), ready_.end());
  for (const auto& [line, leader] : warming_) rest.push_back(leader.rest);
  std::uint64_t left = 0;
  for (const open_group& one : rest) left += one.left();
  for (std::size_t i = next_group_; i < groups_.size(); ++i) left += groups_[i].count;
  std::vector<placed_request> found;
  const std::uint64_t step = std::max<std::uint64_t>(left / (count + 1), 1);
  std::uint64_t passed = 0;  // number of requests
  const auto take = [&](const open_group& from) {
    while (found.size() < count && (found.size() + 1) * step < passed + from.left() + 1 &&
           passed < left) {
      const std::uint64_t place = std::max((found.size() + 1) * step, passed + 1) - passed - 1;
      found.push_back(requests_[from.next + std::min(place, from.left() - 1)]);
    }
    passed += from.left();
  };
  for (const open_group& one : rest) take(one);
  for (std::size_t i = next_group_; i < groups_.size(); ++i) {
    take({groups_[i].begin, groups_[i].begin + groups_[i].count});
  }
  return found;
}

}  // namespace sluice
