#include "server/live_call.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <cmath>
#include <utility>

#include "money/renamed_model.hpp"
#include "openai/reply_head.hpp"
#include "server/json_answer.hpp"
#include "server/messages_usage.hpp"
#include "tokens/usage_estimate.hpp"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

// For how long after its first attempt a call is retried. Clients wait ten minutes. They also retry
// by themselves, and know better whether they still need the answer.
constexpr std::chrono::seconds longest_trying{60};
constexpr std::chrono::seconds usual_retry_after{5};

// Returns whether the status means that nothing was billed and another attempt may succeed.
bool is_passing_refusal(int status) {
  return status == 429 || status == 503 || status == 529;
}

api_error unusable_relay(std::string message) {
  return {.status = 503,
          .message = std::move(message),
          .type = "server_error",
          .code = "relay_unavailable"};
}

api_error no_answer(const failure& why) {
  const bool late = why.code == errc::request_timeout;
  return {.status = late ? 504 : 502,
          .message = "The relay did not answer: " + why.message,
          .type = "server_error",
          .code = late ? "relay_timeout" : "relay_failed"};
}

api_error stopping_server() {
  return unusable_relay("The server is stopping. Try again in a moment.");
}

// The data for the work that remains after a call was answered.
struct ended_call {
  std::string owner;
  std::string relay;
  request asked;
  std::string reply;  // the body of the reply
  bool estimates = false;
  std::optional<token_usage> usage;
  serving how;
  std::optional<usd> reserved;
};

}  // namespace

// The reply pipe of one attempt. It also informs the relays about the reply, and reads the usage.
class pass_through::live_call::pipe final : public reply_pipe {
 public:
  pipe(live_call& owner, const start_gate::permit& turn) : owner_(owner), turn_(turn) {}
  void on_head(const response_head& head) override {
    if (openai::is_success(head.status)) {
      owner_.owner_.relays_.answered(turn_, owner_.started_, owner_.call_.asked.streamed);
    }
    reply_pipe::on_head(head);
  }
  void on_body(std::string_view bytes) override {
    if (owner_.call_.messages && !is_error()) usage_.body(bytes);
    reply_pipe::on_body(bytes);
  }
  std::size_t held() const override { return reply_pipe::held() + usage_.held(); }
  messages_usage& usage() noexcept { return usage_; }

 private:
  live_call& owner_;
  start_gate::permit turn_;
  messages_usage usage_;
};

pass_through::live_call::live_call(pass_through& owner, http_server::exchange& client,
                                   const client_key& key, single_call&& call)
    : owner_(owner),
      client_(client),
      key_(key),
      call_(std::move(call)),
      place_(owner.needs_.figures.call_began(key.name, call_.asked.model, owner.time_.now())),
      began_(owner.time_.now()),
      pause_end_(owner.time_) {
  owner_.calls_.insert(this);
}

pass_through::live_call::~live_call() {
  client_.on_client_gone([] {});
  owner_.calls_.erase(this);
  if (owner_.calls_.empty()) owner_.relays_.settled();
}

void pass_through::live_call::client_left() {
  gone_ = true;
  exchanges_.abort();
  end_wait();
}

void pass_through::live_call::end_wait() {
  cancel_.emit(asio::cancellation_type::terminal);
  pause_.wake_all();
}

asio::awaitable<void> pass_through::live_call::work() {
  client_.on_client_gone([this] { client_left(); });
  int status = 0;
  try {
    status = co_await answer();
  } catch (...) {
    keep_or_give_back(true);
    error_ = "500";
    end(500);
    throw;
  }
  keep_or_give_back(false);
  end(status);
}

void pass_through::live_call::end(int status) {
  owner_.needs_.figures.call_ended(place_,
                                   {.status = status,
                                    .error = gone_ ? std::string() : std::move(error_),
                                    .took = owner_.time_.now() - began_,
                                    .first_byte = first_byte_},
                                   owner_.unix_now());
}

// Records when the first bytes of the relay's reply are sent to the client.
void pass_through::live_call::note_reply() {
  first_byte_ = owner_.time_.now() - began_;
}

// Answers the call. It makes the checks that may refuse the call before it sends anything, the
// cheapest first.
asio::awaitable<int> pass_through::live_call::answer() {
  std::optional<api_error> refusal;
  run_limit* const limit = owner_.needs_.limit_of(key_.name);
  if (limit != nullptr || owner_.options_.counts_tokens) refusal = co_await take_key_turn(limit);
  if (!refusal && !gone_ && key_.budget) refusal = co_await take_money();
  if (gone_) co_return 0;
  if (refusal) {
    const int status = co_await refuse(*refusal);
    co_return status;
  }
  const auto key = client_.head().fields.last("Idempotency-Key");
  idempotency_key_ = key ? std::string(*key) : owner_.new_idempotency_key();
  for (;;) {
    std::optional<start_gate::permit> turn;
    if (owner_.ended_reason_.empty() && !is_stopped()) {
      start_gate::group& group = call_.flex ? *owner_.flex_ : *owner_.urgent_;
      turn = owner_.relays_.gate().try_enter(group, failed_at_, tokens_);
      if (!turn) turn = co_await wait_for_turn(owner_.relays_.gate(), group, failed_at_);
    }
    if (!turn) {
      if (gone_) co_return 0;
      const api_error why =
          owner_.stopping_ ? stopping_server()
                           : unusable_relay("No relay can be used now: " + owner_.ended_reason_);
      retry_after_ = owner_.time_until_back();
      const int status = co_await refuse(why);
      co_return status;
    }
    const auto done = co_await try_once(*turn);
    if (done) co_return *done;
  }
}

// Applies the key's own limit. If other calls of the key have used it up, the answer is 429. If a
// batch of the key has used it up, the call waits, and starts before the next request of that
// batch.
asio::awaitable<std::optional<api_error>> pass_through::live_call::take_key_turn(run_limit* limit) {
  const auto need =
      co_await owner_.needs_.disk.run([this] { return token_estimate::of(call_.asked); });
  tokens_ = [this, need] { return owner_.relays_.tokens().tokens(need); };
  if (limit == nullptr || gone_) co_return std::nullopt;
  start_gate& gate = limit->gate();
  auto& group = owner_.key_turns_.try_emplace(key_.name, gate).first->second.calls;
  auto turn = gate.try_enter(group, std::nullopt, tokens_);
  if (!turn) {
    const auto own = gate.now(group);
    const auto all = gate.now();
    const bool batch_waits = all.waiting > own.waiting || all.in_flight > own.in_flight;
    const bool used_by_calls = key_.requests_per_minute != 0 &&
                               own.started_last_minute + own.waiting >= key_.requests_per_minute;
    if (!batch_waits || used_by_calls) {
      const time_point next = gate.next_start(group, tokens_());
      retry_after_ =
          next == time_point::max() ? duration{usual_retry_after} : next - owner_.time_.now();
      co_return api_error{
          .status = 429,
          .message = fmt::format("Rate limit reached for the key '{}': {} requests and {} tokens "
                                 "per minute (0: no limit). Please try again in {:.0f}s.",
                                 key_.name, key_.requests_per_minute, key_.tokens_per_minute,
                                 std::ceil(std::chrono::duration<double>(*retry_after_).count())),
          .type = used_by_calls ? "requests" : "tokens",
          .code = "rate_limit_exceeded"};
    }
    turn = co_await wait_for_turn(gate, group, std::nullopt);
  }
  if (turn) own_turn_.emplace(gate, *turn);
  if (!turn && !gone_) co_return stopping_server();
  co_return std::nullopt;
}

asio::awaitable<std::optional<api_error>> pass_through::live_call::take_money() {
  const auto unbounded = co_await owner_.needs_.disk.run([this] {
    return set_cost_bound(call_.asked, owner_.needs_.prices, std::nullopt,
                          owner_.options_.defaults);
  });
  if (unbounded) {
    final_ = true;
    co_return api_error{
        .message =
            fmt::format("The key '{}' has a budget, and the cost of this request has no bound: {}.",
                        key_.name, unbounded->why),
        .code = "cost_not_bounded"};
  }
  const usd most = call_.asked.most;
  const funds found =
      co_await owner_.needs_.money.reserve(key_.name, *key_.budget, most, owner_.time_.now());
  if (found == funds::reserved) {
    reserved_ = most;
    co_return std::nullopt;
  }
  if (found == funds::wait) {
    retry_after_ = usual_retry_after;
    co_return api_error{
        .status = 429,
        .message = fmt::format("The rest of the budget of the key '{}' is reserved by its other "
                               "requests. Please try again in a few seconds.",
                               key_.name),
        .type = "requests",
        .code = "rate_limit_exceeded"};
  }
  final_ = true;
  co_return api_error{
      .status = 429,
      .message = fmt::format("You exceeded the budget of the key '{}': this request may cost up to "
                             "${}.",
                             key_.name, most.to_string()),
      .type = "insufficient_quota",
      .code = "insufficient_quota"};
}

// Returns nothing if the client has closed the connection or end_wait() was called.
asio::awaitable<std::optional<start_gate::permit>> pass_through::live_call::wait_for_turn(
    start_gate& gate, start_gate::group& group, std::optional<std::size_t> avoided) {
  std::optional<start_gate::permit> turn;
  if (is_stopped()) co_return turn;
  try {
    auto wait = gate.enter(group, avoided, tokens_);
    auto token = asio::bind_cancellation_slot(cancel_.slot(), asio::use_awaitable);
    turn = co_await asio::co_spawn(owner_.needs_.loop, std::move(wait), token);
  } catch (const boost::system::system_error&) {
    turn.reset();
  }
  if (turn && is_stopped()) gate.leave(*std::exchange(turn, std::nullopt), true);
  co_return turn;
}

asio::awaitable<std::optional<int>> pass_through::live_call::try_once(
    const start_gate::permit& turn) {
  upstream::relay& relay = owner_.relays_[turn.lane];
  pipe reply(*this, turn);
  attempt current(owner_.time_,
                  {relay.client, relay.options.relay, relay.hidden, owner_.relays_.gate()}, turn,
                  {.target = call_.asked.target,
                   .choices = call_.asked.choices,
                   .streamed = call_.asked.streamed,
                   .model = model_at(relay.options, call_.asked)},
                  &reply);
  started_ = current.seen().started;
  started_unix_ = owner_.unix_now();
  owner_.needs_.figures.attempt_began(place_);
  attempt_result ended{.outcome = failure{}, .end = {}};
  std::exception_ptr fault;
  try {
    ended = co_await exchange(current, reply, relay);
  } catch (...) {
    fault = std::current_exception();
  }
  owner_.needs_.figures.attempt_ended(place_, ended.end.sent_any, attempts_++ > 0);
  if (fault) std::rethrow_exception(fault);
  if (ended.outcome && ended.outcome->usage) {
    const auto total = static_cast<std::uint64_t>(ended.outcome->usage->total_tokens());
    current.used(total);
    if (own_turn_) own_turn_->used(total);
    owner_.relays_.learn(*ended.outcome->usage, call_.asked.choices);
  }
  current.leave();
  // Only a failure is shown, so only a failure is redacted. The rest of a success is only counted.
  if (!ended.outcome) current.redact(ended.outcome);
  const auto done = co_await follow(turn, reply, ended);
  co_return done;
}

// Sends the request, and passes the reply on while it arrives.
asio::awaitable<pass_through::live_call::attempt_result> pass_through::live_call::exchange(
    attempt& current, pipe& reply, upstream::relay& relay) {
  const std::string renamed = renamed_body(relay.options, call_.asked);
  const header_fields fields = fields_for_relay(client_.head().fields, call_, relay.options.relay);
  const http_client::outgoing request{.path = call_.path,
                                      .body = renamed.empty() ? call_.asked.body : renamed,
                                      .idempotency_key = idempotency_key_,
                                      .streamed = call_.asked.streamed,
                                      .method = http_client::verb::post,
                                      .group = &exchanges_,
                                      .fields = &fields};
  if (own_turn_) own_turn_->sent();
  attempt_result ended{.outcome = failure{}, .end = {}};
  std::exception_ptr fault;
  bool handing = false;
  bool handed = false;
  wait_queue all_handed;
  const auto alive = std::make_shared<bool>(true);
  // Most replies arrive at once. For these, no second coroutine is needed.
  reply.on_begin([&, still = std::weak_ptr<bool>(alive)] {
    asio::post(owner_.needs_.loop, [&, still] {
      if (still.expired() || reply.ended()) return;
      handing = true;
      asio::co_spawn(owner_.needs_.loop, hand_through(reply, relay.hidden),
                     [&](std::exception_ptr thrown) {
                       if (thrown) fault = std::move(thrown);
                       handed = true;
                       all_handed.wake_all();
                     });
    });
  });
  try {
    ended.outcome = co_await current.send(request);
  } catch (...) {
    fault = std::current_exception();
  }
  reply.end(!fault && current.end().end == exchange_end::how::complete);
  while (handing && !handed) co_await all_handed.wait();
  if (!handing && !fault) co_await hand_through(reply, relay.hidden);
  if (fault) std::rethrow_exception(fault);
  ended.end = current.end();
  ended.ended_unix = owner_.unix_now();
  co_return ended;
}

// Passes the reply on to the client. Returns only when the attempt has ended, even if the client
// has closed the connection.
asio::awaitable<void> pass_through::live_call::hand_through(reply_pipe& reply,
                                                            const secrets& hidden) {
  for (;;) {
    if (gone_ || !reply.has_head() || reply.is_error()) {
      if (reply.ended()) co_return;
      co_await reply.news();
      continue;
    }
    bool taken = true;
    if (!begun_) {
      const header_fields fields = fields_for_client(reply.head().fields, hidden);
      note_reply();
      if (reply.ended_whole()) {
        const std::string body = reply.take();
        taken = co_await client_.send(reply.head().status, fields, body);
        begun_ = sent_ = true;
      } else {
        // The relay's length is not passed on: the body may have been decompressed, even if no
        // header names an encoding.
        taken = co_await client_.begin(reply.head().status, fields, std::nullopt);
        begun_ = true;
      }
    } else if (reply.has_bytes()) {
      const std::string piece = reply.take();
      taken = co_await client_.write(piece);
    } else if (reply.ended()) {
      co_return;
    } else {
      co_await reply.news();
    }
    if (!taken) client_left();
  }
}

// Decides what to do after an attempt. Returns nothing if the call needs another attempt.
asio::awaitable<std::optional<int>> pass_through::live_call::follow(const start_gate::permit& turn,
                                                                    pipe& reply,
                                                                    attempt_result& ended) {
  const exchange_end& end = ended.end;
  const bool complete = end.end == exchange_end::how::complete;
  const int status = reply.head().status;
  if (gone_) {
    if (ended.outcome) {
      const auto usage = ended.outcome->usage;
      count(turn, std::move(ended), usage, {});
    } else {
      keep_or_give_back(keeps_reservation(end_without_result(end, ended.outcome.error())));
    }
    co_return 0;
  }
  std::optional<token_usage> usage;
  bool whole = ended.outcome.has_value();
  if (whole) usage = ended.outcome->usage;
  // The parser does not understand Anthropic's replies.
  if (!whole && call_.messages && complete && openai::is_success(status)) {
    usage = reply.usage().finish();
    whole = reply.usage().complete();
  }
  if (whole) {
    if (!begun_) {  // a reply with the status of an error
      sent_ = co_await pass_on_error(reply, owner_.relays_[turn.lane].hidden) != 0;
    } else if (!sent_) {
      sent_ = co_await client_.finish();
    }
    error_.clear();
    owner_.relays_.succeeded(turn.lane, started_);
    count(turn, std::move(ended), usage, reply.usage().how());
    co_return sent_ ? status : 0;
  }
  const failure why = ended.outcome.error();
  // The request was not sent, because the relay was paused meanwhile.
  if (why.kind == failure_class::unreachable && owner_.relays_[turn.lane].resting) {
    failed_at_ = turn.lane;
    co_return std::nullopt;
  }
  const auto verdict =
      owner_.relays_.failed(turn, call_.asked.model, true, why, started_, past_.refusals);
  failed_at_ = turn.lane;
  error_ = reply.has_head() && reply.is_error() ? std::to_string(status)
                                                : std::string(to_string(why.code));
  if (begun_) {
    keep_or_give_back(keeps_reservation(end_without_result(end, why)));
    if (complete && !sent_) sent_ = co_await client_.finish();
    co_return sent_ ? status : 0;
  }
  const bool again = co_await waits_to_try_again(turn, reply, end, why, verdict);
  if (again) co_return std::nullopt;
  keep_or_give_back(keeps_reservation(end_without_result(end, why)));
  if (gone_) co_return 0;
  int answered = 0;
  if (reply.has_head()) {
    answered = co_await pass_on_error(reply, owner_.relays_[turn.lane].hidden);
  } else if (!end.sent_any) {
    retry_after_ = usual_retry_after;
    const api_error unusable = unusable_relay("The relay cannot be reached: " + why.message);
    answered = co_await refuse(unusable);
  } else {
    const api_error failed = no_answer(why);
    answered = co_await refuse(failed);
  }
  co_return answered;
}

// If nothing was billed and the next attempt may succeed, waits and returns true.
asio::awaitable<bool> pass_through::live_call::waits_to_try_again(
    const start_gate::permit& turn, const reply_pipe& reply, const exchange_end& end,
    const failure& why, const relay_health::verdict& verdict) {
  const bool others = owner_.relays_.has_others(turn.lane);
  const bool refused =
      is_passing_refusal(reply.head().status) && !why.goes_on &&
      (why.kind == failure_class::throttled || why.kind == failure_class::passing) &&
      (!why.model_out || others);
  const bool unsent = !end.sent_any && (why.kind == failure_class::unreachable || others);
  if (!(refused || unsent) || is_stopped() || !owner_.ended_reason_.empty()) co_return false;
  failure without_hint = why;
  if (others) without_hint.retry_after.reset();
  const auto decision =
      owner_.retries_.decide(past_, without_hint, verdict.charge, owner_.relays_.successes());
  if (!decision.again) co_return false;
  const time_point now = owner_.time_.now();
  time_point next = now + decision.delay;
  if (verdict.pause_until && !others) next = std::max(next, *verdict.pause_until);
  if (next > began_ + longest_trying) co_return false;
  if (next > now) {
    pause_end_.set(next, [this] { pause_.wake_all(); });
    co_await pause_.wait();
    pause_end_.cancel();
  }
  co_return !is_stopped() && owner_.ended_reason_.empty();
}

// Passes a reply with the status of an error on unchanged, except that it removes the relay's key.
asio::awaitable<int> pass_through::live_call::pass_on_error(reply_pipe& reply,
                                                            const secrets& hidden) {
  const int status = reply.head().status;
  const header_fields fields = fields_for_client(reply.head().fields, hidden);
  std::string body = reply.take();
  hidden.redact(body);
  const bool sent = co_await client_.send(status, fields, body);
  co_return sent ? status : 0;
}

asio::awaitable<int> pass_through::live_call::refuse(const api_error& why) {
  header_fields fields = json_fields();
  if (retry_after_) {
    const double seconds = std::chrono::duration<double>(*retry_after_).count();
    fields.add("Retry-After", fmt::format("{:.0f}", std::max(1.0, std::ceil(seconds))));
  }
  if (final_) fields.add("X-Should-Retry", "false");
  error_ = why.kind();
  std::string body = why.to_json();
  if (call_.messages) body.insert(1, R"("type":"error",)");
  const bool sent = co_await client_.send(why.status, fields, body);
  co_return sent ? why.status : 0;
}

// Counts the usage of a call, and settles its reservation. `message`: the facts of a reply in
// Anthropic's form. The client does not wait for this.
void pass_through::live_call::count(const start_gate::permit& turn, attempt_result&& ended,
                                    const std::optional<token_usage>& usage,
                                    const serving& message) {
  ended_call left{
      .owner = key_.name,
      .relay = owner_.relays_[turn.lane].options.name,
      .asked = std::move(call_.asked),
      .reply = {},
      .estimates = false,
      .usage = usage,
      .how = {message.tier, started_unix_, ended.ended_unix, message.speed, message.geo},
      .reserved = std::exchange(reserved_, std::nullopt)};
  if (ended.outcome) {
    left.how = ended.outcome->served(started_unix_, ended.ended_unix);
    left.estimates = !usage;
    if (left.estimates) left.reply = std::move(ended.outcome->body);
  }
  const auto priced = [prices = &owner_.needs_.prices](const ended_call& of) -> std::optional<usd> {
    const auto* price = prices->find(of.relay, of.asked.model, of.asked.target);
    return of.usage && price != nullptr ? price->cost(*of.usage, of.how).cost : std::nullopt;
  };
  if (!left.estimates && !left.reserved) {
    owner_.needs_.figures.call_used(place_, left.usage, priced(left), owner_.unix_now());
    return;
  }
  owner_.task_began();
  asio::co_spawn(
      owner_.needs_.loop,
      [](pass_through& owner, server_figures::call_place place, ended_call call,
         decltype(priced) price) -> asio::awaitable<void> {
        const bool reported = call.usage.has_value();
        if (!reported && call.estimates) {
          call.usage = co_await owner.needs_.disk.run(
              [&call] { return estimate_usage(call.asked, call.reply); });
        }
        const std::optional<usd> cost = price(call);
        owner.needs_.figures.call_used(place, call.usage, cost, owner.unix_now());
        if (!call.reserved) co_return;
        // An estimate does not prove what the relay bills. If it is higher than the reservation,
        // the relay has not kept to the limit of the reply.
        const bool exact = reported && cost && !call.asked.model_in_doubt;
        const usd least = std::max(*call.reserved, cost.value_or(usd{}));
        co_await owner.needs_.money.settle(call.owner, *call.reserved, exact ? *cost : least);
      }(owner_, place_, std::move(left), priced),
      [&owner = owner_](const std::exception_ptr& thrown) { owner.task_ended(thrown); });
}

// Settles the reservation of a call that has no reply to count: keeps it all, or gives it back.
void pass_through::live_call::keep_or_give_back(bool keep) {
  if (!reserved_) return;
  const usd most = *std::exchange(reserved_, std::nullopt);
  owner_.task_began();
  asio::co_spawn(
      owner_.needs_.loop,
      [](pass_through& owner, std::string key, usd reserved, usd cost) -> asio::awaitable<void> {
        co_await owner.needs_.money.settle(key, reserved, cost);
      }(owner_, key_.name, most, keep ? most : usd{}),
      [&owner = owner_](const std::exception_ptr& thrown) { owner.task_ended(thrown); });
}

}  // namespace sluice::server
