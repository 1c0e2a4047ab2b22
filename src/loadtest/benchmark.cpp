#include "loadtest/benchmark.hpp"
#include "http/base_url.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <chrono>
#include <cmath>
#include <utility>

#include "loadtest/ranking.hpp"
#include "sluice/version.hpp"

namespace sluice::bench {

namespace asio = boost::asio;
using nlohmann::ordered_json;

benchmark::benchmark(asio::any_io_executor loop, clock& time, std::vector<target*> targets,
                     load_plan plan, spending& money, options chosen)
    : loop_(std::move(loop)),
      time_(time),
      targets_(std::move(targets)),
      plan_(std::move(plan)),
      money_(money),
      options_(std::move(chosen)),
      loads_(targets_.size(), ordered_json::array()) {}

asio::awaitable<void> benchmark::run() {
  started_at_ = time_.unix_now();
  co_await search();
  while (why_stopped_.empty()) {
    const bool any_left = std::any_of(targets_.begin(), targets_.end(),
                                      [](const target* one) { return !one->stopped; });
    if (!any_left) break;
    const auto next = plan_.next();
    if (!next) break;
    co_await put(*next);
  }
}

asio::awaitable<void> benchmark::search() {
  wait_queue ended;
  std::size_t left = searches_.size();
  std::exception_ptr fault;
  for (limit_search* one : searches_) {
    asio::co_spawn(loop_, one->run(), [&](std::exception_ptr thrown) {
      if (thrown && !fault) fault = std::move(thrown);
      if (--left == 0) ended.wake_all();
    });
  }
  if (left > 0) co_await ended.wait();
  if (fault) std::rethrow_exception(fault);
  for (std::size_t i = 0; i < searches_.size(); ++i) {
    if (why_stopped_.empty() && !targets_[i]->stopped) why_stopped_ = searches_[i]->why_stopped();
  }
}

asio::awaitable<void> benchmark::put(const load& asked) {
  ++number_;
  current_load_ = asked;
  const load_run::options chosen{.asked = asked,
                                 .seed = options_.seed + number_,
                                 .id = fmt::format("{}-{}", options_.id, number_),
                                 .counts_tokens = options_.counts_tokens,
                                 .max_wait = options_.max_wait};
  current_ = std::make_unique<load_run>(loop_, time_, targets_, money_, chosen);
  co_await current_->run();

  if (current_->spent() && why_stopped_.empty()) {
    why_stopped_ = fmt::format("the budget of {} USD does not cover another request",
                               money_.limit().value_or(usd{}).to_string());
  }
  std::vector<load_plan::outcome> outcomes;
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    const load_record* record = current_->record(i);
    if (record == nullptr) continue;
    std::optional<std::string> stopped;
    if (targets_[i]->stopped) stopped = targets_[i]->stopped->sentence;
    if (!stopped && !why_stopped_.empty()) stopped = why_stopped_;
    if (!stopped && current_->refused(i)) {
      stopped = fmt::format("the relay refused {} requests in a row as too many (429)",
                            load_run::most_refusals);
    }
    loads_[i].push_back(record->to_json(current_->client(), stopped));
    some_failed_ = some_failed_ || record->failed() > 0;
    some_succeeded_ = some_succeeded_ || record->succeeded() > 0;
    if (targets_[i]->stopped) continue;
    outcomes.push_back({.throughput = record->throughput().value_or(0),
                        .held_by_cap = record->held_by_cap() > held_share,
                        .held_by_budget = record->held_by_budget() > held_share,
                        .refused = current_->refused(i)});
  }
  // What was stopped shows nothing about the next load.
  if (why_stopped_.empty()) plan_.ended(outcomes);
}

void benchmark::stop(const std::string& why) {
  if (why_stopped_.empty()) why_stopped_ = why;
  if (current_) current_->stop();
  for (limit_search* one : searches_) one->stop(why);
}

void benchmark::abort() {
  if (current_) current_->abort();
  for (target* one : targets_) one->client.abort();
}

benchmark::status benchmark::now() const {
  status told;
  if (current_load_) told.load = name_of(*current_load_);
  told.number = number_;
  told.of = plan_.size();
  if (current_) told.ended = current_->ended();
  for (const limit_search* one : searches_) {
    if (!current_) told.ended += one->requests();
    told.waiting_for_others = told.waiting_for_others || one->is_waiting_for_others();
  }
  bool without_cap = false;
  for (const target* one : targets_) {
    const auto gate = one->gate.now();
    told.in_flight += gate.in_flight;
    told.started_last_minute += gate.started_last_minute;
    told.started_by_others += one->gate.starts_of_others();
    told.cap += one->cap;
    without_cap = without_cap || one->cap == 0;
    if (gate.next_start) {
      const double wait = std::chrono::duration<double>(*gate.next_start - time_.now()).count();
      if (told.cause == wait_cause::none || wait < told.wait_s) {
        told.cause = gate.cause;
        told.wait_s = wait;
        told.pause_status = gate.by_others ? std::nullopt : std::optional(one->pause_status);
        told.pause_asked = one->pause_asked;
      }
    }
    if (one->cost) told.cost = told.cost.value_or(usd{}) + *one->cost;
  }
  if (without_cap) told.cap = 0;
  told.unix_now = time_.unix_now();
  told.left_s = seconds_left(told.cap);
  const bool by_number = current_load_ && current_load_->requests > 0;
  if (told.left_s && by_number && told.cause == wait_cause::pause) {
    told.left_s = std::max(*told.left_s, told.wait_s);
  }
  told.more_to_come = !plan_.size().has_value();
  return told;
}

std::optional<double> benchmark::seconds_left(std::uint64_t cap) const {
  if (!current_) return std::nullopt;
  auto left = current_->seconds_left(cap);
  const auto pace = current_->ended_per_s();
  for (const load& next : plan_.left()) {
    if (!left) break;
    const auto all =
        static_cast<double>(next.requests + next.warmup) * static_cast<double>(targets_.size());
    if (next.requests == 0) {
      *left += std::chrono::duration<double>(next.time).count();
    } else if (next.open()) {
      *left += static_cast<double>(next.requests) / next.rate * 60;
    } else if (pace) {
      const double minutes = cap == 0 ? 0 : std::floor(all / static_cast<double>(cap));
      *left += std::max(all / *pace, minutes * 60);
    } else {
      left.reset();
    }
  }
  return left;
}

bool benchmark::measured() const {
  return std::any_of(targets_.begin(), targets_.end(),
                     [](const target* one) { return one->answered > 0; });
}

bool benchmark::some_succeeded() const {
  return some_succeeded_;
}

bool benchmark::some_failed() const {
  return some_failed_;
}

ordered_json benchmark::document_of(std::size_t place) const {
  const target& one = *targets_[place];
  ordered_json told;
  told["target"] = shown_address(one.member.relay.base_url);
  if (!one.member.name.empty()) told["name"] = one.member.name;
  told["model"] = options_.model;
  told["sluice_version"] = SLUICE_VERSION;
  told["simulated"] = options_.simulated;
  told["streamed"] = options_.streamed;
  told["started_at"] = started_at_;
  told["input"] = options_.input;
  told["cost_usd"] = one.cost ? ordered_json(one.cost->to_string()) : ordered_json();
  told["stopped"] = nullptr;
  if (one.stopped) {
    told["stopped"] = one.stopped->sentence;
  } else if (!why_stopped_.empty()) {
    told["stopped"] = why_stopped_;
  }
  told["limit"] = place < searches_.size() ? searches_[place]->to_json() : ordered_json();
  told["loads"] = loads_[place];
  return told;
}

ordered_json benchmark::document() const {
  if (targets_.size() == 1) return document_of(0);
  auto list = ordered_json::array();
  for (std::size_t i = 0; i < targets_.size(); ++i) list.push_back(document_of(i));
  ordered_json document = {{"model", options_.model}, {"targets", std::move(list)}};
  document["ranking"] = rank_targets(document);
  return document;
}

}  // namespace sluice::bench
