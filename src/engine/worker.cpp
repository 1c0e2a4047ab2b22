#include "engine/worker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/hash.hpp"
#include "engine/text_feed.hpp"
#include "money/renamed_model.hpp"
#include "openai/reply_head.hpp"
#include "tokens/usage_estimate.hpp"
#include "upstream/attempt.hpp"

namespace sluice {
namespace {

// Rounded to 0.1 ms, as in the result line, so that totals are the same when the line is read
// again.
double milliseconds(duration time) {
  return std::round(std::chrono::duration<double, std::milli>(time).count() * 10) / 10;
}

// The key is the same for all attempts of a request until it has a result line, also after a
// restart. It is different for a different body: other options of a later run may change it, and a
// relay may have another name for the model.
std::string idempotency_key(std::string_view job, const request& item, std::string_view sent,
                            bool unstreamed) {
  const fmt::format_int attempts(item.settled_attempts);
  const std::string_view target = to_string(item.target);
  const hex_digits body(hash_of(sent));
  std::string text;
  constexpr std::size_t rest = 64;  // the hash, separators, and the words below
  text.reserve(job.size() + item.custom_id.size() + target.size() + attempts.size() + rest);
  for (const std::string_view part :
       {job, std::string_view(item.custom_id), target, std::string_view(body)}) {
    text.append(part).push_back('\n');
  }
  text.append(attempts.data(), attempts.size());
  // After a rejected reply the request needs a new answer, so it gets a new key.
  if (item.rejections > 0) {
    const fmt::format_int rejections(item.rejections);
    text.append("\nrejected ").append(rejections.data(), rejections.size());
  }
  if (unstreamed) text.append("\nunstreamed");
  const hex_digits digits(hash_of(text));
  return text.assign("sluice-").append(digits);
}

// The body without the fields that were added to ask for a stream.
std::string unstreamed_body(std::string_view body, std::size_t stream_fields) {
  std::string plain(body);
  return plain.erase(plain.size() - 1 - stream_fields, stream_fields);
}

// Whether a later run should try the request again.
bool is_retryable(const failure& why) {
  return why.kind == failure_class::passing || why.kind == failure_class::throttled ||
         why.kind == failure_class::unreachable;
}

}  // namespace

// A relay counts as serving when a successful response head arrives, even if the reply takes long.
struct worker::head_watch final : attempt_observer {
  head_watch(worker& owner, start_gate::permit turn) : owner_(owner), turn_(turn) {
    if (owner.run_.sink.wants_text())
      feed_.emplace(owner.run_.sink, owner.run_.relays[turn.lane].hidden);
  }
  void on_head(const response_head& head) override {
    if (openai::is_success(head.status))
      owner_.run_.relays.answered(turn_, owner_.started_, owner_.streamed_);
  }

  void on_pieces(const attempt& by) override {
    if (feed_) feed_->update(owner_.record(), by.text());
  }
  void on_end() {
    if (feed_) feed_->finish(owner_.record());
  }

  worker& owner_;
  start_gate::permit turn_;
  std::optional<text_feed> feed_;  // set if the sink wants the text while it arrives
};

worker::worker(run_context& shared, request&& item, unsigned sample)
    : run_(shared), request_(std::move(item)), sample_(sample) {}

bool worker::sends_unstreamed(std::size_t relay) const {
  const bool can = request_.streamed && request_.stream_fields > 0;
  return can && (unstreamed_at_ == relay || run_.relays[relay].streams.off());
}

// The trial showed nothing about streams: the request went to another relay, or has failed finally.
void worker::abandon_trial() {
  if (!unstreamed_at_) return;
  run_.relays[*unstreamed_at_].streams.trial_abandoned();
  unstreamed_at_.reset();
  run_.relays.stream_trial_over();
}

// The record of the next attempt, or of the current one.
attempt_record worker::record() const {
  return {request_.job, request_.custom_id, request_.attempts + sent_ + 1, request_.most};
}

boost::asio::awaitable<attempt_outcome> worker::make_attempt(start_gate::permit turn) {
  if (unstreamed_at_ && *unstreamed_at_ != turn.lane) abandon_trial();
  const bool unstreamed = sends_unstreamed(turn.lane);
  streamed_ = request_.streamed && !unstreamed;
  upstream::relay& relay = run_.relays[turn.lane];
  head_watch watch(*this, turn);
  attempt current(run_.time, {relay.client, relay.options.relay, relay.hidden, run_.relays.gate()},
                  turn,
                  {.target = request_.target,
                   .choices = request_.choices,
                   .streamed = streamed_,
                   .model = model_at(relay.options, request_)},
                  &watch);
  relay_ = turn.lane;
  started_ = ended_ = current.seen().started;
  started_unix_ = run_.time.unix_now();
  first_content_.reset();
  std::string own_body = renamed_body(relay.options, request_);
  const std::string key = idempotency_key(run_.source.identity(request_.job), request_,
                                          own_body.empty() ? request_.body : own_body, unstreamed);
  if (unstreamed) {
    own_body = unstreamed_body(own_body.empty() ? request_.body : own_body, request_.stream_fields);
  }
  const attempt_record record = this->record();
  bool may_go = true;
  run_.sink.attempt_started(record);
  // The cost of rejected replies must be on disk before more money is spent.
  if (run_.sink.must_be_recorded() || request_.rejections > 0)
    may_go = co_await run_.writer.recorded();
  if (may_go && !run_.stopping()) revoked_ = !run_.sink.may_send(record);
  if (!may_go || run_.stopping() || revoked_) {
    run_.sink.attempt_ended(record, attempt_end::unsent);
    failure not_sent;
    not_sent.code = errc::connection_failed;
    not_sent.kind = failure_class::unreachable;
    co_return not_sent;
  }
  if (own_turn_) own_turn_->sent();
  const std::string_view body = own_body.empty() ? std::string_view(request_.body) : own_body;
  attempt_outcome outcome = co_await current.send(
      {to_string(request_.target), body, key, streamed_, http_client::verb::post, &run_.exchanges});
  watch.on_end();
  ended_ = current.seen().ended;
  first_content_ = current.seen().first_piece;
  if (current.end().sent_any) ++sent_;
  if (outcome && !outcome->usage)
    outcome->estimated_usage = estimate_usage(request_, outcome->body);
  if (outcome && (outcome->usage || outcome->estimated_usage)) {
    const token_usage& used = outcome->usage ? *outcome->usage : *outcome->estimated_usage;
    current.used(static_cast<std::uint64_t>(used.total_tokens()));
    if (own_turn_) own_turn_->used(static_cast<std::uint64_t>(used.total_tokens()));
    run_.relays.learn(used, request_.choices);
  }
  lapsed_ = !current.end().sent_any && !run_.relays.gate().may_send(turn);
  current.leave();
  if (!outcome) {
    run_.sink.attempt_ended(record, end_without_result(current.end(), outcome.error()));
    run_.funds_freed();
  }
  current.redact(outcome);
  co_return outcome;
}

// An earlier run recorded the last rejection and was killed before it wrote the line.
bool worker::was_rejected_for_good() const {
  return run_.sink.examines_replies() && request_.rejections > run_.options.job.max_rejections;
}

void worker::finish_rejected() {
  started_ = ended_ = run_.time.now();
  started_unix_ = run_.time.unix_now();
  failure why;
  why.code = errc::reply_rejected;
  why.kind = failure_class::permanent;
  why.message =
      "the last reply was rejected, and the run was killed before it wrote that reply down; send "
      "the request again with --retry-failed";
  why.http_status = 200;
  why.body = "null";
  finish(std::move(why));
}

boost::asio::awaitable<void> worker::serve() {
  if (was_rejected_for_good()) co_return finish_rejected();
  start_gate::token_count tokens;
  if (run_.options.pace.tokens_per_minute != 0 || run_.limit != nullptr) {
    tokens = [this, need = token_estimate::of(request_)] {
      return run_.relays.tokens().tokens(need);
    };
  }
  for (;;) {
    const auto way = run_.way_of(request_, sample_);
    if (way == run_context::way::closed) co_return;
    if (way == run_context::way::barred) {
      co_await run_.wait_for_way(request_, sample_);
      continue;
    }
    model_trial_ = way == run_context::way::trial;
    if (!co_await run_.afford(request_)) {
      if (std::exchange(model_trial_, false)) run_.model_trial_unmade(request_);
      co_return;
    }
    if (run_.limit != nullptr) {
      start_gate& own = run_.limit->gate();
      const auto place = co_await own.enter(*run_.own_turns, std::nullopt, tokens);
      if (!place) {
        run_.sink.unreserve(request_);
        co_return;
      }
      own_turn_.emplace(own, *place);
    }
    const auto avoided = unstreamed_at_ ? std::nullopt : failed_at_;
    const auto turn = co_await run_.relays.gate().enter(run_.turns, avoided, tokens);
    if (!turn) {
      run_.sink.unreserve(request_);
      co_return;
    }
    if (!run_.still_may_start(request_, sample_, model_trial_)) {
      run_.relays.gate().leave(*turn, true);
      own_turn_.reset();
      run_.sink.unreserve(request_);
      run_.funds_freed();
      if (model_trial_) run_.model_trial_wasted(request_);
      continue;
    }
    attempt_outcome outcome = co_await make_attempt(*turn);
    own_turn_.reset();
    if (outcome) {
      succeeded();
      if (run_.sink.examines_replies() && rejects(outcome)) continue;
      co_return finish(std::move(outcome));
    }
    failure why = outcome.error();
    duration backoff{};
    const next_step next = co_await follow(*turn, why, backoff);
    if (next == next_step::pending) co_return;
    if (next == next_step::write) {
      outcome = std::move(why);
      co_return finish(std::move(outcome));
    }
    if (backoff > duration{}) {
      run_.rest();
      co_await run_.backoffs.sleep_until(run_.time.now() + backoff);
      run_.resume();
    }
  }
}

void worker::succeeded() {
  auto& streams = run_.relays[relay_].streams;
  if (streamed_) {
    streams.streamed_reply_came();
  } else {
    streams.unstreamed_reply_came();
  }
  const bool was_trial = std::exchange(unstreamed_at_, std::nullopt).has_value();
  if (was_trial && streams.trial_succeeded()) run_.relays.streams_are_off(relay_);
  run_.succeeded(relay_, request_, started_);
}

// True: send the next attempt at once without a stream, as a trial or because streams are off.
bool worker::follow_stream(const failure& why) {
  auto& relay = run_.relays[relay_];
  if (std::exchange(unstreamed_at_, std::nullopt)) {
    if (relay.streams.trial_failed(why)) {
      unstreamed_at_ = relay_;
    } else {
      run_.relays.stream_trial_over();
    }
    return false;
  }
  if (streamed_) {
    if (request_.stream_fields == 0) return false;
    // If streams are off, the attempt was in flight when they were turned off.
    if (relay.streams.off()) return stream_support::may_be_of_streams(why);
    if (!relay.streams.streamed_attempt_failed(why)) return false;
    unstreamed_at_ = relay_;
    return true;
  }
  const duration lasted = run_.time.now() - started_;
  if (request_.target == endpoint::embeddings) return false;  // these cannot stream
  if (const auto cut = relay.streams.unstreamed_attempt_failed(why, lasted)) {
    run_.relays.advise_streams(relay_, *cut);
  }
  return false;
}

boost::asio::awaitable<worker::next_step> worker::follow(const start_gate::permit& turn,
                                                         failure& why, duration& backoff) {
  // Not sent, or cancelled by this program: this says nothing about the relay.
  const bool broken_off = why.kind == failure_class::unreachable || run_.exchanges.aborted();
  if (run_.stopping() && broken_off) co_return next_step::pending;
  if (run_.tells(severity::debug)) {
    run_.tell(severity::debug, fmt::format("request {} (line {}): attempt {}: {}",
                                           request_.custom_id, request_.line, sent_, why.message));
  }
  if (revoked_) {
    if (std::exchange(model_trial_, false)) run_.model_trial_unmade(request_);
    co_return next_step::pending;
  }
  failed_at_ = relay_;
  const bool model_trial = std::exchange(model_trial_, false);
  if (std::exchange(lapsed_, false)) {
    if (model_trial) run_.model_trial_wasted(request_);
    co_return next_step::again;
  }
  // The attempt was not sent, because the relay was put to rest.
  if (why.kind == failure_class::unreachable && run_.relays[relay_].resting) {
    if (model_trial) run_.model_trial_wasted(request_);
    co_return next_step::again;
  }
  const auto verdict = run_.failed(turn, request_, why, started_, past_.refusals);
  if (!why.model_out) {
    refusals_of_model_.at.clear();
  } else {
    const unsigned before = refusals_of_model_.again_there;
    const auto next = run_.model_refused(relay_, request_, model_trial, why, refusals_of_model_);
    if (next != run_context::refused_next::charge) {
      // The other relays had no room. It waits longer each time, so it does not use up the limit of
      // a relay that never has the model.
      const unsigned again = refusals_of_model_.again_there;
      const bool elsewhere = next == run_context::refused_next::elsewhere;
      if (again > before) backoff = run_.retries.backoff(elsewhere ? again - 1 : 0);
      co_return next_step::again;
    }
  }
  if (why.kind == failure_class::permanent && why.http_status != 404) {
    run_.model_answered(request_, false, started_);
  } else if (model_trial && !why.model_out) {
    run_.model_trial_wasted(request_);
  }
  if (verdict.suspect && !run_.relays.has_others(relay_)) co_await run_.wait_for_address(relay_);
  if (verdict.suspect && run_.relays.has_others(relay_))
    co_return next_step::again;  // another relay will show it
  if (run_.stopping() && why.kind != failure_class::permanent) co_return next_step::pending;
  if (follow_stream(why)) co_return next_step::again;
  // If other relays can take the request, the hint applies only to the relay that gave it.
  failure without_hint = why;
  if (run_.relays.has_others(relay_)) without_hint.retry_after.reset();
  // These hints do not stop the run, so the limit for hints is applied here.
  if ((why.tier_full || why.model_out) && why.retry_after > run_.options.pace.max_wait)
    without_hint.retry_after.reset();
  const auto decision =
      run_.retries.decide(past_, without_hint, verdict.charge, run_.relays.successes());
  if (decision.again) {
    backoff = decision.delay;
    co_return next_step::again;
  }
  if (decision.lasting) why.kind = failure_class::permanent;
  co_return co_await follow_final(why);
}

boost::asio::awaitable<worker::next_step> worker::follow_final(failure& why) {
  abandon_trial();  // other requests may wait for the trial, and this one may now wait for them
  using fate = failure_judge::fate;
  const fate judged = co_await run_.judge(relay_, request_, why, sample_);
  if (judged == fate::pending) co_return next_step::pending;
  if (judged == fate::again) {
    past_ = {};
    co_return next_step::again;
  }
  try_later_ = judged == fate::unsettled;
  co_return next_step::write;
}

// True: the reply does not count, and the request is sent again. False: the outcome is the result.
// If the request has been sent often enough, the outcome is now a failure.
bool worker::rejects(attempt_outcome& outcome) {
  result with_reply;
  with_reply.custom_id = request_.custom_id;
  with_reply.model = request_.model;
  with_reply.digest = request_.digest;
  describe(with_reply, std::move(outcome));
  const reply_verdict verdict = run_.sink.examine(request_, with_reply);
  outcome = std::move(with_reply.outcome);
  if (verdict.next == reply_verdict::step::accept) return false;
  run_.funds_freed();
  if (run_.tells(severity::debug)) {
    run_.tell(severity::debug,
              fmt::format("request {} (line {}): attempt {}: rejected: {}", request_.custom_id,
                          request_.line, sent_, verdict.reason));
  }
  if (verdict.next == reply_verdict::step::again) {
    past_ = {};
    failed_at_.reset();
    return true;
  }
  failure why;
  why.code = errc::reply_rejected;
  why.kind = failure_class::permanent;
  why.message = verdict.reason;
  why.http_status = outcome->http_status;
  why.request_id = std::move(outcome->request_id);
  why.body = std::move(outcome->body);
  outcome = std::move(why);
  return false;
}

// The last step of a worker: moves the strings of the request into the result.
void worker::finish(attempt_outcome&& outcome) {
  finished_ = true;
  result finished;
  finished.custom_id = std::move(request_.custom_id);
  finished.model = std::move(request_.model);
  finished.digest = std::move(request_.digest);
  describe(finished, std::move(outcome));
  run_.writer.put(std::move(finished));
  run_.funds_freed();
}

// Fills in a result, except the strings of its request.
void worker::describe(result& finished, attempt_outcome&& outcome) const {
  finished.job = request_.job;
  finished.line = request_.line;
  finished.relay = run_.relays[relay_].options.name;
  finished.target = request_.target;
  finished.model_in_doubt = request_.model_in_doubt;
  finished.attempts = request_.attempts + sent_;
  finished.streamed = streamed_;
  finished.started_at = started_unix_;
  finished.latency_ms = milliseconds(ended_ - started_);
  if (first_content_ && (outcome ? outcome->streamed : streamed_)) {
    finished.ttft_ms = milliseconds(*first_content_ - started_);
  }
  finished.retryable = !outcome && (try_later_ || is_retryable(outcome.error()));
  finished.outcome = std::move(outcome);
}

}  // namespace sluice
