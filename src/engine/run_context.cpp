#include "engine/run_context.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "engine/worker.hpp"

namespace sluice {
namespace {

// If a model refuses one request this many times and serves this many other requests meanwhile, the
// request is the cause.
constexpr unsigned refusals_beside_others = 3;
constexpr std::uint64_t many_others = 20;

}  // namespace

run_context::run_context(boost::asio::any_io_executor loop, const config& settings,
                         clock& event_clock, upstream::relays& shared_relays,
                         request_source& requests, result_sink& results, std::string name,
                         std::uint64_t number, observer* listener, run_limit* own_limit,
                         std::function<void(const run_outcome&)> stopped)
    : options(settings),
      time(event_clock),
      relays(shared_relays),
      turns(shared_relays.gate()),
      limit(own_limit),
      source(requests),
      sink(results),
      queue(loop, job_queue::capacity_for(upstream::most_in_flight(settings.pace))),
      workers(loop, upstream::most_in_flight(settings.pace), [this] { return work(); }),
      writer(loop, event_clock, results, [this](std::exception_ptr why) { fail(std::move(why)); }),
      backoffs(event_clock),
      retries({settings.pace.max_attempts, settings.pace.backoff_base, settings.pace.backoff_cap,
               settings.pace.seed + number}),
      loop_(std::move(loop)),
      name_(std::move(name)),
      observer_(listener),
      stopped_(std::move(stopped)),
      judge_(loop_, requests, queue,
             {.send =
                  [this](request&& next, unsigned sample) {
                    workers.begin_other_work();
                    boost::asio::co_spawn(loop_, serve_sample(std::move(next), sample),
                                          boost::asio::detached);
                  },
              .conclude = [this](const failure_judge::row& in,
                                 const failure_judge::evidence& enough) { conclude(in, enough); },
              .looking =
                  [this](bool begins) {
                    if (begins) return workers.begin_other_work();
                    check_suspects();
                    workers.end_other_work();
                  }}),
      models_(event_clock,
              {settings.pace.give_up_after, settings.pace.backoff_base, settings.pace.backoff_cap}),
      several_models_(requests.has_several_models()) {
  relays.join(*this);
  if (limit != nullptr) own_turns.emplace(limit->gate());
}

run_context::~run_context() {
  relays.leave(*this);
}

void run_context::tell(severity level, const std::string& sentence) const {
  if (tells(level)) observer_->on_notice({level, name_, sentence});
}

void run_context::rest() {
  workers.rest();
  source.wait_began();
}

void run_context::resume() {
  workers.resume();
  source.wait_ended();
}

void run_context::stop(run_outcome why) {
  if (stopping()) return;
  outcome = std::move(why);
  if (stopped_) stopped_(outcome);
  source.cancel();
  queue.close();
  workers.stop_growing();
  relays.gate().close(turns);
  if (own_turns) limit->gate().close(*own_turns);
  exchanges.stop_sending();
  backoffs.wake_all();
  suspects_.wake_all();
  poor_.wake_all();
  models_.wake_all();
  judge_.settle_all(failure_judge::fate::pending);
  relays.stopped();
}

void run_context::on_relays_ended(stop_reason reason, const std::string& message,
                                  std::optional<double> again_at) {
  stop({reason, message, again_at});
}

void run_context::fail(std::exception_ptr why) {
  stop({.reason = stop_reason::interrupted, .message = {}});
  if (!fault) fault = std::move(why);
}

void run_context::abort() {
  exchanges.abort();
}

boost::asio::awaitable<bool> run_context::afford(const request& next) {
  while (!stopping()) {
    switch (sink.reserve(next)) {
      case funds::reserved:
        co_return true;
      case funds::spent:
        stop({stop_reason::budget_spent,
              fmt::format("another attempt may cost up to ${}", next.most.to_string())});
        break;
      case funds::wait:
        co_await poor_.wait();
        break;
      case funds::never:
        co_return false;
    }
  }
  co_return false;
}

void run_context::succeeded(std::size_t relay, const request& item, time_point started) {
  served_by_.insert(relay);
  judge_.succeeded(item.job);
  model_answered(item, true, started);
  relays.succeeded(relay, started);
}

void run_context::on_success(std::size_t relay, time_point started) {
  judge_.relay_served(relay, started);
  suspects_.wake_all();
}

relay_health::verdict run_context::failed(const start_gate::permit& turn, const request& item,
                                          const failure& why, time_point started,
                                          unsigned refused_before) {
  return relays.failed(turn, item.model, several_models_, why, started, refused_before);
}

boost::asio::awaitable<void> run_context::wait_for_address(std::size_t relay) {
  if (stopping() || relays[relay].health.address_confirmed()) co_return;
  suspected_relay_ = relay;
  rest();
  boost::asio::post(loop_, [this] { check_suspects(); });
  co_await suspects_.wait();
  resume();
}

// Whether all requests left wait for something that only other requests could show.
bool run_context::lacks_evidence() const {
  return waits_for_address() && in_hand_ > 0 && queue.drained() && !stopping() &&
         !judge_.is_looking();
}

void run_context::check_suspects() {
  // The source may have ended because another run of its job has stopped. That run has posted its
  // stop to this loop before, so the stop comes first.
  if (lacks_evidence()) boost::asio::post(loop_, [this] { settle_suspects(); });
}

void run_context::settle_suspects() {
  if (!lacks_evidence()) return;
  if (suspects_.size() > 0) {
    relays.only_suspects_left(suspected_relay_);
  } else if (judge_.waiting() > 0 && !relays.stream_trial_on()) {
    judge_.settle_at_the_end();
  }
}

// Finds out whether the run uses several models: from standard input this is not known in advance.
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
    co_await judge_.sample_over();  // without rest(), since no other request may start
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

run_context::refused_next run_context::model_refused(std::size_t relay, const request& item,
                                                     bool trial, const failure& why,
                                                     model_refusals& before) {
  if (std::find(before.at.begin(), before.at.end(), relay) == before.at.end()) {
    before.at.push_back(relay);
  } else {
    ++before.again_there;
  }
  for (std::size_t i = 0; i < relays.size() && !trial; ++i) {
    const bool refused_there = std::find(before.at.begin(), before.at.end(), i) != before.at.end();
    if (!relays[i].resting && !refused_there) return refused_next::elsewhere;
  }
  const std::uint64_t answers = models_.answers(item.job, item.model);
  const std::string words = described(why, item.model);
  if (answers == 0 && !source.had_success(item.job, item.model)) {
    if (trial && models_.is_out(item.model)) {  // requests of other jobs wait for its end
      models_.refused(item.model, true, words);
      follow_outage(item.model);
    }
    return refused_next::charge;
  }
  // If the model serves many other requests meanwhile, this request is the cause.
  if (before.at_all++ == 0) before.answers = answers;
  if (before.at_all >= refusals_beside_others && answers - before.answers >= many_others) {
    if (trial) model_trial_wasted(item);
    return refused_next::charge;
  }
  if (models_.refused(item.model, trial, words)) {
    tell(severity::warning,
         fmt::format("{}{}; requests for {} wait, one at a time is sent as a trial",
                     relays.prefix(relay), words, item.model));
  }
  follow_outage(item.model);
  return refused_next::wait;
}

void run_context::model_trial_wasted(const request& item) {
  models_.trial_wasted(item.model);
  follow_outage(item.model);
}

void run_context::model_trial_unmade(const request& item) {
  if (!stopping()) models_.trial_unmade(item.model);
}

void run_context::follow_outage(const std::string& model) {
  if (stopping() || !models_.given_up(model)) return;
  auto sentence = fmt::format("{}: {}", model, models_.words(model));
  if (several_models_) {
    source.gave_up_model(model);
    go_on_without(stop_reason::model_out, std::move(sentence), false);
  } else {
    stop({stop_reason::model_out, std::move(sentence)});
  }
}

void run_context::model_answered(const request& item, bool served, time_point started) {
  if (served) models_.served(item.job, item.model);
  if (models_.answered(item.model, started)) {
    tell(severity::info, fmt::format("{} answers again", item.model));
  }
}

run_outcome run_context::final_outcome() const {
  if (!stopping()) return deferred_;
  run_outcome end = outcome;
  end.gave_up = deferred_.reason;
  end.gave_up_message = deferred_.message;
  return end;
}

// Gives up a job or a model. When the other requests are done, the reason becomes the outcome: the
// first one, but a refused job counts more than a model, since trying again does not help it.
void run_context::go_on_without(stop_reason why, std::string sentence, bool told) {
  if (!told) {
    tell(severity::warning,
         fmt::format("{}; its requests stay pending, all others continue", sentence));
  }
  run_outcome next{why, std::move(sentence)};
  if (deferred_.reason == stop_reason::none) {
    deferred_ = std::move(next);
  } else if (deferred_.reason != why && deferred_.gave_up == stop_reason::none) {
    if (why == stop_reason::refused_alike) std::swap(deferred_, next);
    deferred_.gave_up = next.reason;
    deferred_.gave_up_message = std::move(next.message);
  }
}

boost::asio::awaitable<failure_judge::fate> run_context::judge(std::size_t relay,
                                                               const request& item,
                                                               const failure& why,
                                                               unsigned& sample) {
  using fate = failure_judge::fate;
  if (options.pace.keep_going) co_return fate::own;
  const bool alone = !relays.has_others(relay);
  const auto found =
      judge_.failed(item, relay, served_by_.contains(relay), alone, why, sample, time.now());
  if (found.in.kept_by == repeated_failures::rule::none) co_return fate::own;
  sample = 0;
  // The attempt was in flight when the relay was put to rest: other relays take the request.
  if (relays[relay].resting && found.in.kept_by == repeated_failures::rule::relay) {
    co_return fate::again;
  }
  // A streaming trial in progress may show that streaming is the only problem.
  if (found.enough && !relays[relay].streams.on_trial()) judge_.conclude(found.in);
  if (stopping() || given_up_jobs_.contains(item.job)) co_return fate::pending;
  if (relays[relay].resting) co_return fate::again;
  rest();
  boost::asio::post(loop_, [this] { check_suspects(); });
  const auto settled = co_await judge_.wait(found.in);
  resume();
  co_return settled;
}

void run_context::conclude(const failure_judge::row& in, const failure_judge::evidence& enough) {
  if (stopping()) return judge_.settle(in, failure_judge::fate::pending);
  if (in.kept_by == repeated_failures::rule::relay) {
    relay_health::verdict ended;
    ended.stop = stop_reason::key_ended;
    ended.reason = fmt::format("{} requests in a row failed with the same message: {}",
                               enough.count, enough.words);
    relays.end(enough.relay, ended);
    return judge_.settle(in, failure_judge::fate::again);
  }
  given_up_jobs_.insert(enough.job);
  const auto sentence = fmt::format(
      "the first {} requests for model {} at {} all failed with the same message: {}", enough.count,
      enough.model, relays[enough.relay].options.relay.base_url, enough.words);
  if (given_up_jobs_.size() >= source.jobs()) {
    stop({stop_reason::refused_alike, sentence});
  } else {
    const bool told = source.gave_up_job(enough.job, sentence);
    go_on_without(stop_reason::refused_alike, sentence, told);
  }
  judge_.settle(in, failure_judge::fate::pending);
}

void run_context::on_rest(std::size_t relay) {
  judge_.settle({repeated_failures::rule::relay, relay}, failure_judge::fate::again);
}

void run_context::on_streams_off(std::size_t) {
  judge_.settle_all(failure_judge::fate::again);
}

boost::asio::awaitable<void> run_context::work() {
  try {
    request next;
    while (co_await queue.pop(next)) {
      co_await serve(std::move(next), 0);
      if (workers.too_many()) break;
    }
  } catch (...) {
    fail(std::current_exception());
  }
  check_suspects();
}

boost::asio::awaitable<void> run_context::serve(request next, unsigned sample) {
  meet_model(next);
  ++in_hand_;
  worker one(*this, std::move(next), sample);
  co_await one.serve();
  --in_hand_;
  if (const request* left = one.unfinished()) sink.left_pending(*left);
  judge_.sample_ended(one.sample());
  check_suspects();
  co_await writer.durable();
}

boost::asio::awaitable<void> run_context::serve_sample(request next, unsigned sample) {
  try {
    co_await serve(std::move(next), sample);
  } catch (...) {
    fail(std::current_exception());
  }
  check_suspects();
  workers.end_other_work();
}

}  // namespace sluice
