#include "engine/run_context.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "engine/worker.hpp"

namespace sluice {
namespace {

constexpr unsigned pool_failures_before_trial = 10;

// Refusals of a model that serves so many others meanwhile are the request's own.
constexpr unsigned refusals_beside_others = 3;
constexpr std::uint64_t many_others = 20;

// A wait that is longer is not believed as a date.
constexpr std::chrono::hours longest_believed_wait{24};

// Results are to be on the disk a second after they were finished.
constexpr std::chrono::seconds longest_unsynced{1};

// Workers beyond the concurrency, for requests that wait out a backoff; each holds one request.
constexpr std::size_t most_resting = 4096;

// Without a limit of our own, the number of files that may be open is one.
std::size_t worker_count(const pace_options& pace) {
  if (pace.concurrency != 0) return pace.concurrency;
  constexpr std::size_t sensible = 4096;
  const std::size_t others = run_context::other_files + pace.files_of_jobs;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur <= others) return 1;
  return std::min<std::size_t>(files.rlim_cur - others, sensible);
}

// The name of a pool's member, for messages.
std::string title(const relay_member& member) {
  return member.name.empty() ? "the relay" : "relay " + member.name;
}
std::string prefix(const relay_member& member) {
  return member.name.empty() ? "" : fmt::format("relay {}: ", member.name);
}

unsigned limit_of(const relay_member& member, const pace_options& pace) {
  return member.requests_per_minute.value_or(pace.requests_per_minute);
}

relay_health::options patience_with(const relay_member& member, std::size_t relays,
                                    const pace_options& pace) {
  relay_health::options patience{.give_up_after = pace.give_up_after,
                                 .max_wait = pace.max_wait,
                                 .backoff_base = pace.backoff_base,
                                 .backoff_cap = pace.backoff_cap,
                                 .requests_per_minute = limit_of(member, pace)};
  // Where others can do the work, less is enough to leave a relay alone.
  if (relays > 1) patience.failures_before_trial = pool_failures_before_trial;
  return patience;
}

// Deep enough that the reader is woken once for many requests, small enough to stay flat.
std::size_t queue_capacity(std::size_t workers) {
  return std::clamp<std::size_t>(workers * 8, 64, 1024);
}

}  // namespace

run_context::run_context(boost::asio::any_io_executor loop, const config& chosen, clock& clock_used,
                         const std::vector<relay_member>& members,
                         const std::vector<http_client*>& clients, start_gate& gate_used,
                         request_source& requests, result_sink& results)
    : options(chosen),
      time(clock_used),
      gate(gate_used),
      source(requests),
      sink(results),
      queue(loop, queue_capacity(worker_count(chosen.pace))),
      backoffs(clock_used),
      retries({chosen.pace.max_attempts, chosen.pace.backoff_base, chosen.pace.backoff_cap,
               chosen.pace.seed}),
      loop_(std::move(loop)),
      wanted_workers_(worker_count(chosen.pace)),
      judge_(loop_, requests, queue,
             {.send =
                  [this](request&& next, unsigned sample) {
                    enlist();
                    boost::asio::co_spawn(loop_, serve_sample(std::move(next), sample),
                                          boost::asio::detached);
                  },
              .conclude = [this](const failure_judge::row& in,
                                 const failure_judge::evidence& enough) { conclude(in, enough); },
              .looking =
                  [this](bool begins) {
                    if (begins) return enlist();
                    check_suspects();
                    discharge();
                  }}),
      models_(clock_used,
              {chosen.pace.give_up_after, chosen.pace.backoff_base, chosen.pace.backoff_cap}),
      several_models_(requests.has_several_models()) {
  for (std::size_t i = 0; i < members.size(); ++i) {
    relays.emplace_back(members[i], *clients[i],
                        patience_with(members[i], members.size(), chosen.pace),
                        chosen.pace.concurrency);
    gate.limit_in_flight(relays.back().timely.now(), i);
    gate.set_open(i, true);
    clients[i]->allow_sending();
  }
}

run_context::~run_context() {
  if (sync_timer_ != 0) time.cancel(sync_timer_);
  for (const auto& [relay, timer] : returns_) time.cancel(timer);
}

void run_context::stop(stop_reason reason, std::string message) {
  if (stopping()) return;
  outcome = {reason, std::move(message)};
  source.cancel();
  queue.close();
  gate.close();
  for (auto& relay : relays) relay.client.stop_sending();
  for (const auto& [relay, timer] : returns_) time.cancel(timer);
  returns_.clear();
  backoffs.wake_all();
  suspects_.wake_all();
  poor_.wake_all();
  models_.wake_all();
  judge_.settle_all(failure_judge::fate::pending);
}

void run_context::fail(std::exception_ptr why) {
  stop(stop_reason::interrupted, {});
  if (!fault) fault = std::move(why);
}

void run_context::put(result&& finished) {
  try {
    sink.put(std::move(finished));
  } catch (...) {
    fail(std::current_exception());
  }
  if (next_flush_) return;
  next_flush_ = std::make_shared<disk_batch>();
  boost::asio::post(loop_, [this] { flush(); });
}

void run_context::flush() {
  const auto batch = std::exchange(next_flush_, nullptr);
  try {
    sink.flush();
  } catch (...) {
    fail(std::current_exception());
    batch->done = true;
    return batch->waiting.wake_all();
  }
  if (sink.must_be_durable()) {
    last_durable_ = batch;
    return sink.make_durable(end_of(batch));
  }
  sync_soon();
  batch->done = true;
  batch->waiting.wake_all();
}

boost::asio::awaitable<void> run_context::durable() {
  if (!sink.must_be_durable()) co_return;
  const auto mine = next_flush_ ? next_flush_ : last_durable_;
  if (mine && !mine->done) co_await mine->waiting.wait();
}

boost::asio::awaitable<void> run_context::disk_is_idle() {
  while (disk_batches_ > 0) co_await disk_idle_.wait();
}

void run_context::sync_soon() {
  if (sync_timer_ != 0) return;
  sync_timer_ = time.call_at(time.now() + longest_unsynced, [this] {
    sync_timer_ = 0;
    sink.sync();
  });
}

boost::asio::awaitable<bool> run_context::afford(const request& next) {
  while (!stopping()) {
    switch (sink.reserve(next)) {
      case funds::reserved:
        co_return true;
      case funds::spent:
        stop(stop_reason::budget_spent,
             fmt::format("one attempt more may cost ${}", next.most.to_string()));
        break;
      case funds::wait:
        co_await poor_.wait();
    }
  }
  co_return false;
}

boost::asio::awaitable<bool> run_context::recorded() {
  if (!next_record_) {
    next_record_ = std::make_shared<disk_batch>();
    boost::asio::post(loop_, [this] { begin_record(); });
  }
  const auto mine = next_record_;
  co_await mine->waiting.wait();
  co_return !mine->failed;
}

void run_context::begin_record() {
  sink.record(end_of(std::exchange(next_record_, nullptr)));
}

// Called from any thread, once the disk has the batch or has failed.
std::function<void(std::exception_ptr)> run_context::end_of(std::shared_ptr<disk_batch> batch) {
  ++disk_batches_;
  return [this, batch = std::move(batch)](std::exception_ptr why) {
    boost::asio::post(loop_, [this, batch, why = std::move(why)] {
      batch->done = true;
      batch->failed = why != nullptr;
      if (--disk_batches_ == 0) disk_idle_.wake_all();
      if (why) fail(why);
      batch->waiting.wake_all();
    });
  };
}

void run_context::abort_relays() {
  for (auto& relay : relays) relay.client.abort();
}

std::size_t run_context::at_work() const noexcept {
  return static_cast<std::size_t>(
      std::count_if(relays.begin(), relays.end(), [](const auto& one) { return !one.resting; }));
}

bool run_context::has_others(std::size_t relay) const noexcept {
  return at_work() > (relays[relay].resting ? 0 : 1);
}

bool run_context::in_trouble() const noexcept {
  return std::all_of(relays.begin(), relays.end(),
                     [](const auto& one) { return one.resting || one.health.trial(); });
}

void run_context::answered(const start_gate::permit& turn, time_point started, bool streamed) {
  const std::size_t relay = turn.lane;
  auto& one = relays[relay];
  one.health.answered(started, time.now());
  one.taken.served(turn.beside, turn.spread, time.now());
  follow_health(relay);
  const auto& limits = one.options.relay;
  const std::size_t flying = gate.in_flight(relay);
  one.timely.answered(started, time.now(),
                      streamed ? limits.first_byte_timeout : limits.total_timeout, turn.beside + 1);
  follow_in_flight(relay, flying, started);
}

void run_context::succeeded(std::size_t relay, const request& served, time_point started) {
  ++successes_;
  relays[relay].served = true;
  judge_.succeeded(served.job, relay, started);
  model_answered(served, true, started);
  relays[relay].health.succeeded(started);
  follow_health(relay);
  suspects_.wake_all();
}

// What a relay's state means for the starts.
void run_context::follow_health(std::size_t relay) {
  auto& one = relays[relay];
  gate.space(one.health.rate().gap(), relay);
  gate.one_at_a_time(one.health.trial(), relay);
  if (one.in_trouble && !one.health.trial()) {
    one.in_trouble = false;
    spdlog::info("{} serves again", title(one.options));
  }
  follow_rate(one);
}

void run_context::follow_rate(run_relay& one) {
  const served_rate& rate = one.health.rate();
  const unsigned limit = limit_of(one.options, options.pace);
  if (!one.slower && rate.settled(time.now())) {
    one.slower = true;
    spdlog::warn("{} serves about {:.0f} requests a minute{}; starts are spread to fit",
                 title(one.options), rate.per_minute(),
                 limit == 0 ? "" : fmt::format(", not {}", limit));
  } else if (one.slower && !rate.limits()) {
    one.slower = false;
    spdlog::info("{} serves {} again", title(one.options),
                 limit == 0 ? "all that comes" : fmt::format("{} requests a minute", limit));
  }
}

void run_context::follow_in_flight(std::size_t relay, std::size_t in_flight, time_point started) {
  auto& one = relays[relay];
  const std::size_t most_taken = one.taken.most(time.now());
  const std::size_t timely = one.timely.now();
  gate.limit_in_flight(most_taken == 0 ? timely : std::min(most_taken, timely), relay);
  if (most_taken != 0 && !std::exchange(one.full, true)) {
    spdlog::warn("{} takes about {} requests at once and refuses more; no more are sent",
                 title(one.options), most_taken);
  }
  if (std::exchange(one.late, one.timely.lowered()) == one.timely.lowered()) return;
  if (one.late) {
    spdlog::warn("{}answers take {:.0f} s with {} in flight; at most {} are sent at once",
                 prefix(one.options), std::chrono::duration<double>(time.now() - started).count(),
                 in_flight, timely);
  } else {
    spdlog::info("{} answers in good time again", title(one.options));
  }
}

relay_health::verdict run_context::failed(const start_gate::permit& turn, const request& asked,
                                          const failure& why, time_point started,
                                          unsigned refused_before) {
  const std::size_t relay = turn.lane;
  auto& one = relays[relay];
  const bool full =
      relay_health::is_refusal(why) && one.taken.refused(turn.beside, turn.spread, time.now());
  auto verdict = one.health.failed(why, started, time.now(), refused_before, full,
                                   several_models_ ? std::string_view(asked.model) : "");
  if (verdict.pause_until) {
    // A hint is given to a crowd, which should not come back at one moment.
    if (why.retry_after) *verdict.pause_until += retries.spread(*verdict.pause_until - time.now());
    gate.pause(*verdict.pause_until, relay);
  }
  follow_health(relay);
  const std::size_t flying = gate.in_flight(relay) + 1;
  if (why.code == errc::request_timeout) {
    one.timely.timed_out(started, time.now(), turn.beside + 1);
  }
  follow_in_flight(relay, flying, started);
  if (one.health.address_confirmed()) suspects_.wake_all();
  if (!stopping() && one.health.trial() && !std::exchange(one.in_trouble, true)) {
    const auto pause = verdict.pause_until.value_or(time.now()) - time.now();
    spdlog::warn("{}{}; trying again in {:.1f} s, one request at a time until one succeeds",
                 prefix(one.options), why.message,
                 std::max(0.0, std::chrono::duration<double>(pause).count()));
  }
  if (verdict.stop != stop_reason::none) end_relay(relay, verdict);
  return verdict;
}

// The relay gets nothing more. Where it was the last, the run stops; the first to come back says
// when to run it again.
void run_context::end_relay(std::size_t relay, const relay_health::verdict& verdict) {
  auto& ended = relays[relay];
  if (ended.resting || stopping()) return;
  if (verdict.wait) ended.back_at = time.now() + *verdict.wait;
  ended.rest_reason = verdict.reason;
  if (has_others(relay)) {
    ended.resting = true;
    ended.client.stop_sending();
    gate.set_open(relay, false);
    spdlog::warn("{}{}; it rests{}, {} other(s) go on", prefix(ended.options), verdict.reason,
                 verdict.wait ? fmt::format(" for {:.0f} s",
                                            std::chrono::duration<double>(*verdict.wait).count())
                              : "",
                 at_work());
    if (ended.back_at && *verdict.wait <= longest_believed_wait) {
      returns_[relay] = time.call_at(*ended.back_at, [this, relay] { bring_back(relay); });
    }
    return;
  }
  const auto first_back =
      std::min_element(relays.begin(), relays.end(), [](const run_relay& a, const run_relay& b) {
        return a.back_at.value_or(time_point::max()) < b.back_at.value_or(time_point::max());
      });
  if (first_back->back_at) {
    stop(stop_reason::come_back_later, first_back->rest_reason);
    // A hint beyond a day is taken for a mistake or a ban, and not for a date.
    if (const duration wait = *first_back->back_at - time.now(); wait <= longest_believed_wait) {
      outcome.again_at = time.unix_now() + std::chrono::duration<double>(wait).count();
    }
  } else {
    stop(verdict.stop, verdict.reason);
  }
  if (const auto flying = gate.now().in_flight; flying > 0) {
    spdlog::warn("{}{}; nothing new is sent, {} in flight may finish", prefix(ended.options),
                 verdict.reason, flying);
  }
}

void run_context::bring_back(std::size_t relay) {
  auto& one = relays[relay];
  returns_.erase(relay);
  one.back_at.reset();
  one.resting = false;
  one.health.rested();
  follow_health(relay);
  one.client.allow_sending();
  gate.set_open(relay, true);
}

boost::asio::awaitable<void> run_context::wait_for_address(std::size_t relay) {
  if (stopping() || relays[relay].health.address_confirmed()) co_return;
  suspected_relay_ = relay;
  rest();
  boost::asio::post(loop_, [this] { check_suspects(); });
  co_await suspects_.wait();
  resume();
}

void run_context::check_suspects() {
  const std::size_t held = judge_.waiting();
  if (suspects_.size() + held != requests_in_hand || !queue.drained()) return;
  if (stopping() || judge_.is_looking()) return;
  if (suspects_.size() > 0) {
    const relay_health& health = relays[suspected_relay_].health;
    if (health.suspects_agree()) end_relay(suspected_relay_, health.only_suspects_left());
    suspects_.wake_all();  // where the run goes on: at other members, or each fails for itself
  } else if (held > 0) {
    judge_.settle_at_the_end();
  }
}

// Several jobs or models are not always known beforehand: standard input is read as it comes.
void run_context::meet_model(const request& next) {
  if (several_models_) return;
  if (first_model_.empty()) {
    first_model_ = next.model;
  } else {
    several_models_ = first_model_ != next.model;
  }
}

run_context::way run_context::way_of(const request& next, unsigned sample) {
  if (stopping() || given_up_jobs_.contains(next.job)) return way::closed;
  if (judge_.holds_back(sample)) return way::barred;
  switch (models_.ask(next.model)) {
    case model_outages::state::serving:
      return way::open;
    case model_outages::state::trial:
      return way::trial;
    case model_outages::state::waiting:
      return way::barred;
    case model_outages::state::given_up:
      break;
  }
  return way::closed;
}

boost::asio::awaitable<void> run_context::wait_for_way(const request& next, unsigned& sample) {
  if (judge_.holds_back(sample)) {
    co_await judge_.sample_over();  // in its place: no other may start either
    co_return;
  }
  judge_.sample_ended(std::exchange(sample, 0));
  rest();
  co_await models_.wait(next.model);
  resume();
}

bool run_context::still_may_start(const request& next, unsigned sample, bool trial) {
  return !judge_.holds_back(sample) && !given_up_jobs_.contains(next.job) &&
         (trial || !models_.is_out(next.model));
}

bool run_context::model_refused(std::size_t relay, const request& asked, bool trial,
                                const failure& why, model_refusals& before) {
  const std::uint64_t answers = models_.answers(asked.job, asked.model);
  if (answers == 0 && !source.had_success(asked.job, asked.model)) return false;
  // Where the model serves many others meanwhile, it is this request that it refuses.
  if (before.count++ == 0) before.answers = answers;
  if (before.count >= refusals_beside_others && answers - before.answers >= many_others) {
    if (trial) model_trial_wasted(asked);
    return false;
  }
  if (std::find(before.at.begin(), before.at.end(), relay) == before.at.end()) {
    before.at.push_back(relay);
  }
  bool elsewhere = false;
  for (std::size_t i = 0; i < relays.size(); ++i) {
    const bool asked_there = std::find(before.at.begin(), before.at.end(), i) != before.at.end();
    elsewhere = elsewhere || (!relays[i].resting && !asked_there);
  }
  if (!trial && elsewhere) return true;
  if (models_.refused(asked.model, trial, why.message)) {
    spdlog::warn("{}{}; requests for {} wait, and one at a time is tried",
                 prefix(relays[relay].options), why.message, asked.model);
  }
  follow_outage(asked.model);
  return true;
}

void run_context::model_trial_wasted(const request& asked) {
  models_.trial_wasted(asked.model);
  follow_outage(asked.model);
}

void run_context::follow_outage(const std::string& model) {
  if (stopping() || !models_.given_up(model)) return;
  auto sentence = fmt::format("{}: {}", model, models_.words(model));
  if (several_models_) {
    go_on_without(stop_reason::model_out, std::move(sentence));
  } else {
    stop(stop_reason::model_out, std::move(sentence));
  }
}

void run_context::model_answered(const request& asked, bool served, time_point started) {
  if (served) models_.served(asked.job, asked.model);
  if (models_.answered(asked.model, started)) spdlog::info("{} answers again", asked.model);
}

// The run ends so when what is left is done; the first reason stands.
void run_context::go_on_without(stop_reason why, std::string sentence) {
  spdlog::warn("{}; its requests stay pending, the others go on", sentence);
  if (deferred_outcome.reason == stop_reason::none) deferred_outcome = {why, std::move(sentence)};
}

boost::asio::awaitable<failure_judge::fate> run_context::judge(std::size_t relay,
                                                               const request& asked,
                                                               const failure& why,
                                                               unsigned& sample) {
  using fate = failure_judge::fate;
  if (options.pace.keep_going) co_return fate::own;
  const bool alone = !has_others(relay);
  const auto told =
      judge_.failed(asked, relay, relays[relay].served, alone, why, sample, time.now());
  if (told.in.kept_by == repeated_failures::rule::none) co_return fate::own;
  sample = 0;
  // It was on its way when the relay came to rest: the others take it, too.
  if (relays[relay].resting && told.in.kept_by == repeated_failures::rule::relay) {
    co_return fate::again;
  }
  // A trial that is under way may show that streaming is all that is wrong.
  if (told.enough && !relays[relay].streams.on_trial()) judge_.conclude(told.in);
  if (stopping() || given_up_jobs_.contains(asked.job)) co_return fate::pending;
  if (relays[relay].resting) co_return fate::again;
  rest();
  boost::asio::post(loop_, [this] { check_suspects(); });
  const auto settled = co_await judge_.wait(told.in);
  resume();
  co_return settled;
}

void run_context::conclude(const failure_judge::row& in, const failure_judge::evidence& enough) {
  if (stopping()) return judge_.settle(in, failure_judge::fate::pending);
  if (in.kept_by == repeated_failures::rule::relay) {
    relay_health::verdict ended;
    ended.stop = stop_reason::key_ended;
    ended.reason =
        fmt::format("{} requests in a row were refused alike: {}", enough.count, enough.words);
    end_relay(enough.relay, ended);
    return judge_.settle(in, failure_judge::fate::again);
  }
  given_up_jobs_.insert(enough.job);
  const auto sentence = fmt::format(
      "the first {} requests for model {} at {} were all refused alike: {}", enough.count,
      enough.model, relays[enough.relay].options.relay.base_url, enough.words);
  if (given_up_jobs_.size() >= source.jobs()) {
    stop(stop_reason::refused_alike, sentence);
  } else {
    go_on_without(stop_reason::refused_alike, sentence);
  }
  judge_.settle(in, failure_judge::fate::pending);
}

void run_context::streams_are_off(std::size_t relay) {
  spdlog::warn("{} answers no call that is streamed; the run goes on as with --no-stream",
               title(relays[relay].options));
  judge_.settle_all(failure_judge::fate::again);
}

void run_context::advise_streams(std::size_t relay, duration after) const {
  spdlog::warn(
      "{}calls without a stream are cut after {:.0f} s of silence; --stream would help, or leave "
      "out --no-stream and \"stream\": false",
      prefix(relays[relay].options), std::chrono::duration<double>(after).count());
}

void run_context::start_workers() {
  for (auto n = wanted_workers_; n > 0; --n) add_worker();
}

void run_context::rest() {
  ++resting_;
  if (!stopping() && workers_ < wanted_workers_ + std::min(resting_, most_resting)) add_worker();
}

void run_context::resume() {
  --resting_;
}

void run_context::add_worker() {
  ++workers_;
  // Posted, since co_spawn on the loop's own thread begins at once: a worker that finds nothing to
  // do must not end before the rest of the run is there.
  boost::asio::post(loop_, [this] { boost::asio::co_spawn(loop_, work(), boost::asio::detached); });
}

boost::asio::awaitable<void> run_context::work() {
  try {
    request next;
    while (co_await queue.pop(next)) {
      co_await serve(std::move(next), 0);
      if (too_many_workers()) break;
    }
  } catch (...) {
    fail(std::current_exception());
  }
  check_suspects();
  if (--workers_ == 0) all_done.wake_all();
}

boost::asio::awaitable<void> run_context::serve(request next, unsigned sample) {
  meet_model(next);
  ++requests_in_hand;
  worker one(*this, std::move(next), sample);
  co_await one.serve();
  --requests_in_hand;
  judge_.sample_ended(one.sample());
  check_suspects();
  co_await durable();
}

boost::asio::awaitable<void> run_context::serve_sample(request next, unsigned sample) {
  try {
    co_await serve(std::move(next), sample);
  } catch (...) {
    fail(std::current_exception());
  }
  check_suspects();
  discharge();
}

// One worker more, beside the places of the others.
void run_context::enlist() {
  ++workers_;
  ++resting_;
}

void run_context::discharge() {
  --resting_;
  if (--workers_ == 0) all_done.wake_all();
}

}  // namespace sluice
