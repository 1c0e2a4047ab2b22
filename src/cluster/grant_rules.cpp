#include "cluster/grant_rules.hpp"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "cluster/clock_drift.hpp"
#include "json/text.hpp"
#include "store/batch_record.hpp"

namespace sluice::cluster {
namespace {

using json = nlohmann::json;

constexpr int form = 1;  // version of the text

}  // namespace

shared_grants::shared_grants(std::string_view text) {
  const json stored = json::parse(text, nullptr, false);
  try {
    if (stored.at("form").get<int>() != form) throw json::other_error::create(0, "form", nullptr);
    clock_steps_ = stored.at("steps").get<std::uint64_t>();
    offset_ = stored.at("offset").get<std::int64_t>();
    now_ = stored.at("now").get<std::int64_t>();
    paused_until_ = stored.at("paused").get<std::int64_t>();
    for (const json& one : stored.at("releases")) {
      releases_[one.at(0).get<std::int64_t>()] = {one.at(1).get<std::uint64_t>(),
                                                  one.at(2).get<std::int64_t>()};
    }
    for (const json& one : stored.at("holders")) {
      holders_[one.at(0).get<std::string>()] = {
          {one.at(1).get<std::uint64_t>(), one.at(2).get<std::int64_t>()},
          one.at(3).get<std::int64_t>(),
          one.at(4).get<std::int64_t>(),
          one.at(5).get<bool>()};
    }
  } catch (const json::exception&) {
    throw store::store_error(
        "the shared rate limit in the database was written by another version of sluice; use one "
        "version on all machines");
  }
}

std::string shared_grants::text() const {
  json stored{{"form", form},
              {"steps", clock_steps_},
              {"offset", offset_},
              {"now", now_},
              {"paused", paused_until_}};
  json& releases = stored["releases"] = json::array();
  for (const auto& [when, what] : releases_) releases.push_back({when, what.starts, what.tokens});
  json& holders = stored["holders"] = json::array();
  for (const auto& [name, one] : holders_) {
    holders.push_back(
        {name, one.held.starts, one.held.tokens, one.valid_until, one.reach, one.wants});
  }
  return json_line(stored);
}

// Detects whether the database's clock was set. If so, the window's time continues with the time
// that the caller has measured.
void shared_grants::follow_clock(const window_call& asked, std::int64_t begun, std::int64_t now) {
  if (asked.clock_steps == clock_steps_) {
    const std::int64_t least = micros(asked.since_least);
    const std::int64_t most = micros(asked.since_most);
    const std::int64_t slack = clock_slack + most / clock_drift;
    const std::int64_t here = begun + offset_;
    if (here > asked.last_now + most + slack || here < asked.last_now + least - slack) {
      offset_ += asked.last_now + least - here;
      ++clock_steps_;
    }
  }
  std::int64_t here = now + offset_;
  // The window's time never goes back. If the clock was set back between two calls, the time stands
  // still.
  if (here < now_) {
    offset_ += now_ - here;
    here = now_;
  }
  now_ = here;
}

void shared_grants::settle() {
  for (auto one = holders_.begin(); one != holders_.end();) {
    const holder& silent = one->second;
    if (silent.valid_until >= now_) {
      ++one;
      continue;
    }
    if (silent.held.starts > 0) {
      amount& counted = releases_[rounded(silent.valid_until + silent.reach + length)];
      counted.starts += silent.held.starts;
      counted.tokens += silent.held.tokens;
    }
    one = holders_.erase(one);
  }
  releases_.erase(releases_.begin(), releases_.upper_bound(now_));
}

// Applies the caller's report. If the holder was silent for too long, its whole grant already
// counts as used, so its uses are ignored.
void shared_grants::take_report(const window_call& asked) {
  if (asked.pause) paused_until_ = std::max(paused_until_, now_ + micros(*asked.pause));
  for (const auto& one : asked.corrections) {
    const auto found = releases_.find(rounded(one.release));
    if (found != releases_.end()) {
      found->second.tokens = std::max<std::int64_t>(found->second.tokens + one.tokens, 0);
    }
  }
  const auto found = holders_.find(asked.holder);
  if (found == holders_.end()) return;
  amount& held = found->second.held;
  const auto lessen = [&held](std::uint64_t starts, std::uint64_t tokens) {
    held.starts -= std::min(held.starts, starts);
    held.tokens -= std::min(held.tokens, static_cast<std::int64_t>(tokens));
  };
  for (const auto& one : asked.uses) {
    lessen(one.starts, one.tokens);
    const std::int64_t release = rounded(now_ - micros(one.age) + length);
    if (release <= now_) continue;
    releases_[release].starts += one.starts;
    releases_[release].tokens += static_cast<std::int64_t>(one.tokens);
  }
  lessen(asked.returned, asked.returned_tokens);
}

shared_grants::amount shared_grants::all() const noexcept {
  amount sum;
  for (const auto& [when, what] : releases_) {
    sum.starts += what.starts;
    sum.tokens += what.tokens;
  }
  for (const auto& [name, one] : holders_) {
    sum.starts += one.held.starts;
    sum.tokens += one.held.tokens;
  }
  return sum;
}

std::uint64_t shared_grants::counted() const noexcept {
  return all().starts;
}

// Divides the free starts among all workers that want some.
shared_grants::amount shared_grants::grant(const window_call& asked) {
  if (asked.wanted == 0 || now_ < paused_until_) return {};
  const amount counted = all();
  const auto part = [&](std::uint64_t cap, std::uint64_t taken) {
    const std::uint64_t free = cap - std::min(cap, taken);
    const auto others = static_cast<std::uint64_t>(std::count_if(
        holders_.begin(), holders_.end(),
        [&](const auto& one) { return one.second.wants && one.first != asked.holder; }));
    return (free + others) / (others + 1);
  };
  std::uint64_t starts = asked.wanted;
  if (asked.cap != 0) starts = std::min(starts, part(asked.cap, counted.starts));
  if (asked.token_cap != 0 && asked.tokens_each != 0) {
    const auto taken = static_cast<std::uint64_t>(std::max<std::int64_t>(counted.tokens, 0));
    std::uint64_t fit = part(asked.token_cap, taken) / asked.tokens_each;
    // A start that is larger than the cap is allowed if nothing else is counted.
    if (fit == 0 && taken == 0) fit = 1;
    starts = std::min(starts, fit);
  }
  return {starts, static_cast<std::int64_t>(starts * asked.tokens_each)};
}

window_answer shared_grants::call(const window_call& asked, std::int64_t begun, std::int64_t now) {
  if (asked.last_now == 0) {
    window_answer first;
    first.now = std::max(now + offset_, now_);
    first.clock_steps = clock_steps_;
    first.in_use = all().starts > 0;
    first.began_anew = true;
    return first;
  }
  follow_clock(asked, begun, now);
  settle();
  const bool began_anew = !holders_.contains(asked.holder);
  take_report(asked);
  const amount granted = grant(asked);
  holder& mine = holders_[asked.holder];
  mine.held.starts += granted.starts;
  mine.held.tokens += granted.tokens;
  mine.valid_until = now_ + micros(asked.valid);
  mine.reach = micros(asked.reach);
  mine.wants = granted.starts < asked.wanted;
  window_answer answer;
  answer.now = now_;
  answer.clock_steps = clock_steps_;
  answer.began_anew = began_anew;
  answer.granted = granted.starts;
  answer.granted_tokens = static_cast<std::uint64_t>(granted.tokens);
  answer.paused = std::chrono::microseconds{std::max<std::int64_t>(paused_until_ - now_, 0)};
  if (!releases_.empty()) {
    answer.next = std::chrono::microseconds{releases_.begin()->first - now_};
  }
  answer.held_by_others = all().starts - mine.held.starts;
  return answer;
}

}  // namespace sluice::cluster
