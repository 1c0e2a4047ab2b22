#include "loadtest/load_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cmath>
#include <utility>

#include "jobs/result_line.hpp"
#include "loadtest/arrivals.hpp"
#include "tokens/usage_estimate.hpp"

namespace sluice::bench {

namespace asio = boost::asio;

namespace {

// A shorter wait is only this program's own work.
constexpr duration shortest_wait = std::chrono::milliseconds{5};

// The part of a wait at the gate that was caused by sluice's own limit. While there is a pause that
// the relay asked for, in this run or an earlier one, the limit is not the cause.
duration waited_for_cap(target& of, time_point from, time_point until) {
  if (!of.capped || until - from < shortest_wait) return {};
  return until - std::clamp(of.gate.paused_until(), from, until);
}

}  // namespace

// Records the details of one attempt while it runs.
struct load_run::watch final : attempt_observer {
  watch(load_record* kept, measurement& into) : record(kept), seen(into) {}

  void on_sending(time_point when) override {
    const bool first = !seen.sending;
    seen.sending = when;
    if (first && record != nullptr) record->note_start(when);
  }
  void on_pieces(const attempt& by) override {
    const time_point now = by.came();
    const openai::piece_count pieces = by.pieces();
    if (seen.last_piece) gaps.push_back(now - *seen.last_piece);
    seen.last_piece = now;
    if (!seen.first_content && pieces.content > 0) seen.first_content = now;
    seen.thought_aloud = pieces.reasoning > 0;
  }

  load_record* record;  // null during the warm-up
  measurement& seen;
  std::vector<duration> gaps;  // between arrivals
};

load_run::load_run(asio::any_io_executor loop, clock& time, std::vector<target*> targets,
                   spending& money, const options& chosen)
    : loop_(std::move(loop)),
      time_(time),
      targets_(std::move(targets)),
      money_(money),
      options_(chosen),
      refusals_in_row_(targets_.size(), 0),
      refused_(targets_.size(), false),
      records_(targets_.size()) {}

asio::awaitable<void> load_run::run() {
  const load& asked = options_.asked;
  if (asked.warmup > 0) co_await go_through(asked.warmup, duration{}, false);
  if (stopping_ || spent_) co_return;
  co_await go_through(asked.requests, asked.time, true);
}

asio::awaitable<void> load_run::go_through(std::uint64_t requests, duration time, bool measured) {
  const time_point begin = time_.now();
  requests_ = requests;
  begin_ = begin;
  end_ = begin + time;
  ended_before_ = ended_;
  warming_up_ = !measured;
  asked_.assign(targets_.size(), 0);
  refusals_in_row_.assign(targets_.size(), 0);
  refused_.assign(targets_.size(), false);
  closed_ = false;
  schedule_ = std::make_unique<sleeper>(time_);
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    if (targets_[i]->stopped) continue;
    targets_[i]->gate.open();
    if (measured) {
      records_[i] =
          std::make_unique<load_record>(options_.asked, targets_[i]->cap, begin, time_.unix_now());
    }
  }
  const client_load client;
  const std::uint64_t ended_before = ended_;
  clock::timer alarm = 0;
  if (time > duration{}) alarm = time_.call_at(begin + time, [this] { close_gates(); });

  ++tasks_;  // so that all_done_ is not signalled before all have begun
  const unsigned each = std::max(options_.asked.concurrency, 1U);
  for (unsigned i = 0; i < each; ++i) {
    // In between, the event loop serves the requests that have begun: connections are made and
    // replies are read.
    if (i > 0) co_await asio::post(loop_, asio::use_awaitable);
    for (std::size_t place = 0; place < targets_.size(); ++place) {
      if (targets_[place]->stopped) continue;
      if (options_.asked.open()) {
        spawn(ask_by_schedule(place, begin));
      } else {
        spawn(keep_asking(place));
      }
    }
  }
  if (--tasks_ > 0) co_await all_done_.wait();

  if (alarm != 0) time_.cancel(alarm);
  if (fault_) std::rethrow_exception(fault_);
  if (!measured) co_return;
  client_.used = client.since();
  client_.wall_s = std::chrono::duration<double>(time_.now() - begin).count();
  client_.requests = ended_ - ended_before;
}

std::optional<double> load_run::ended_per_s() const {
  const double passed = std::chrono::duration<double>(time_.now() - begin_).count();
  if (ended_ == ended_before_ || passed <= 0) return std::nullopt;
  return static_cast<double>(ended_ - ended_before_) / passed;
}

std::optional<double> load_run::seconds_left(std::uint64_t cap) const {
  const auto pace = ended_per_s();
  const auto active = std::count_if(targets_.begin(), targets_.end(),
                                    [](const auto* one) { return !one->stopped; });
  const auto at_pace = [&](std::uint64_t each) -> std::optional<double> {
    const auto all = static_cast<double>(each) * static_cast<double>(active);
    if (!pace) return std::nullopt;
    const double minutes = cap == 0 ? 0 : std::floor(all / static_cast<double>(cap));
    return std::max(all / *pace, minutes * 60);
  };
  std::optional<double> left;
  if (requests_ == 0) {
    left = std::max(std::chrono::duration<double>(end_ - time_.now()).count(), 0.0);
  } else {
    const std::uint64_t mean =
        (ended_ - ended_before_) / static_cast<std::uint64_t>(std::max<std::ptrdiff_t>(active, 1));
    left = at_pace(requests_ - std::min(requests_, mean));
  }
  if (!left || !warming_up_) return left;
  const load& asked = options_.asked;
  if (asked.time > duration{}) return *left + std::chrono::duration<double>(asked.time).count();
  const auto rest = at_pace(asked.requests);
  return rest ? std::optional(*left + *rest) : std::nullopt;
}

void load_run::spawn(asio::awaitable<void> task) {
  ++tasks_;
  asio::co_spawn(loop_, std::move(task), [this](std::exception_ptr thrown) {
    if (thrown && !fault_) {
      fault_ = std::move(thrown);
      close_gates();
    }
    if (--tasks_ == 0) all_done_.wake_all();
  });
}

bool load_run::wants_more(std::size_t place) const {
  return !closed_ && !targets_[place]->stopped && !refused(place) &&
         (requests_ == 0 || asked_[place] < requests_);
}

asio::awaitable<void> load_run::keep_asking(std::size_t place) {
  while (wants_more(place)) {
    ++asked_[place];
    co_await ask(place, time_.now());
  }
}

asio::awaitable<void> load_run::ask_by_schedule(std::size_t place, time_point begin) {
  const load& asked = options_.asked;
  arrivals schedule(asked.rate, asked.arrivals, options_.seed);
  // The targets start at different times within the gap between two starts.
  const auto gap = std::chrono::duration_cast<duration>(std::chrono::duration<double>(
      60 / asked.rate / static_cast<double>(targets_.size()) * static_cast<double>(place)));
  while (wants_more(place)) {
    const time_point wanted = begin + schedule.next() + gap;
    co_await schedule_->sleep_until(wanted);
    if (!wants_more(place)) break;
    ++asked_[place];
    spawn(ask(place, wanted));
  }
}

asio::awaitable<funds> load_run::afford(target& of, request& asked) {
  for (;;) {
    if (closed_ || of.stopped) co_return funds::wait;
    const funds granted = money_.reserve(of.member.name, asked);
    if (granted == funds::spent) {
      spent_ = true;
      close_gates();
    }
    if (granted != funds::wait) co_return granted;
    co_await money_.freed().wait();
  }
}

asio::awaitable<void> load_run::ask(std::size_t place, time_point wanted) {
  target& of = *targets_[place];
  request asked = of.supply.next();
  const time_point came = time_.now();
  const funds granted = co_await afford(of, asked);
  const time_point ready = time_.now();
  own_waits waited;
  if (ready - came >= shortest_wait) waited.for_budget = ready - came;
  if (granted != funds::reserved) {
    // A request that found the budget used up at once did not wait; it ended the load.
    const bool in_vain = granted == funds::wait || waited.for_budget > duration{};
    if (in_vain && records_[place]) records_[place]->add_vain_wait(wanted, ready, waited);
    co_return;
  }
  start_gate::token_count tokens;
  if (options_.counts_tokens) {
    tokens = [&of, need = token_estimate::of(asked)] { return of.tokens.tokens(need); };
  }
  const auto turn = co_await of.gate.enter(std::nullopt, tokens);
  const time_point entered = time_.now();
  waited.for_cap = waited_for_cap(of, ready, entered);
  if (!turn) {
    money_.give_back(asked);
    if (records_[place]) records_[place]->add_vain_wait(wanted, entered, waited);
    co_return;
  }
  co_await send(place, std::move(asked), wanted, waited, *turn);
}

asio::awaitable<void> load_run::send(std::size_t place, request asked, time_point wanted,
                                     own_waits waited, start_gate::permit turn) {
  target& of = *targets_[place];
  measurement seen;
  watch watching(records_[place].get(), seen);
  attempt tried = of.begin(time_, turn, asked, &watching);
  seen.id = asked.custom_id;
  seen.model = asked.model;
  seen.wanted = wanted;
  seen.granted = tried.seen().started;
  seen.started_unix = time_.unix_now();
  seen.waited = waited;

  const std::string key = fmt::format("{}-{}", options_.id, ++sent_);
  attempt_outcome told = co_await of.send(tried, asked, key);
  seen.connected_anew = tried.seen().connected_anew;
  seen.head = tried.seen().head;
  seen.first_piece = tried.seen().first_piece;
  seen.ended = tried.seen().ended;
  ++ended_;
  if (told) {
    note_reply(place, asked, *told, tried, seen);
    for (const duration gap : watching.gaps) {
      if (watching.record != nullptr) watching.record->add_gap(gap);
    }
  } else {
    note_failure(of, asked, told.error(), tried.end(), seen);
  }
  tried.leave();
  if (!told && aborted_) co_return;
  if (watching.record != nullptr) watching.record->add(seen);
  if (!told) react(place, told.error(), seen.granted);
}

void load_run::note_reply(std::size_t place, const request& asked, const reply& told,
                          attempt& tried, measurement& seen) {
  target& of = *targets_[place];
  seen.request_id = told.request_id;
  seen.usage = told.usage;
  if (!seen.usage) {
    seen.usage = estimate_usage(asked, told.body);
    seen.estimated = seen.usage.has_value();
  }
  if (!told.streamed) seen.first_piece = seen.first_content = seen.last_piece = std::nullopt;
  if (seen.usage) {
    tried.used(static_cast<std::uint64_t>(seen.usage->total_tokens()));
    of.tokens.learn(*seen.usage, asked.choices);
    seen.cost = money_.cost(of.member.name, asked, *seen.usage,
                            told.served(seen.started_unix, time_.unix_now()));
  }
  if (seen.cost) of.cost = of.cost.value_or(usd{}) + *seen.cost;
  money_.settle(asked, seen.estimated ? std::nullopt : seen.cost);
  of.cutoff.succeeded();
  refusals_in_row_[place] = 0;
}

void load_run::note_failure(const target& of, const request& asked, const failure& why,
                            const exchange_end& end, measurement& seen) {
  seen.error = error_name(why);
  seen.message = why.message;
  seen.request_id = why.request_id;
  if (of.seen_by != nullptr && of.seen_by->wants(severity::debug)) {
    const auto sentence = fmt::format("request {}: {}: {}", seen.id, seen.error, why.message);
    of.seen_by->on_notice({severity::debug, of.member.name, sentence});
  }
  money_.failed(asked, end_without_result(end, why));
}

void load_run::react(std::size_t place, const failure& why, time_point started) {
  target& of = *targets_[place];
  if (why.kind == failure_class::throttled) {
    if (++refusals_in_row_[place] == most_refusals) {
      refused_[place] = true;
      of.gate.close();
    }
  } else {
    refusals_in_row_[place] = 0;
  }
  const time_point now = time_.now();
  if (const auto stop = of.cutoff.failed(why, started, now, options_.max_wait)) {
    return leave(of, *stop);
  }
  // A refusal of the key may be a short error of the relay. The pause lets it pass, so that the
  // next start can confirm or refute it.
  if (why.kind == failure_class::key_ended) of.gate.pause(now + target_cutoff::blink);
  if (!why.retry_after) return;
  of.pause_status = why.http_status;
  of.pause_asked = std::chrono::duration_cast<duration>(*why.retry_after);
  of.gate.pause(time_.now() + of.pause_asked);
}

void load_run::leave(target& of, const target_cutoff::stop& why) {
  if (of.stopped) return;
  of.stopped = why;
  of.gate.close();
  money_.freed().wake_all();
}

void load_run::close_gates() {
  closed_ = true;
  for (target* of : targets_) of->gate.close();
  schedule_->wake_all();
  money_.freed().wake_all();
}

void load_run::abort() {
  aborted_ = true;
  stop();
}

void load_run::stop() {
  stopping_ = true;
  if (schedule_) close_gates();
}

}  // namespace sluice::bench
