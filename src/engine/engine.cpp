#include "sluice/engine.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cassert>
#include <random>
#include <thread>
#include <utility>

#include "async/steady_clock.hpp"
#include "engine/run_context.hpp"
#include "upstream/relays.hpp"

namespace sluice {
namespace {

config with_seed(config options) {
  if (options.pace.seed == 0) options.pace.seed = std::random_device{}();
  return options;
}

// Fills the queue from a thread of its own, so that reading and checking lines does not block the
// event loop.
class reader_thread {
 public:
  reader_thread(run_context& run, boost::asio::any_io_executor loop)
      : run_(run), loop_(std::move(loop)), thread_([this] { read(); }) {}
  reader_thread(const reader_thread&) = delete;
  reader_thread& operator=(const reader_thread&) = delete;
  ~reader_thread() {
    run_.source.cancel();
    run_.queue.close();
  }

 private:
  void read() {
    try {
      while (auto next = run_.source.next()) {
        if (!run_.queue.push(std::move(*next))) break;
      }
    } catch (...) {
      // Captures the run and not `this`: only the run lives until the posted call.
      boost::asio::post(loop_,
                        [&run = run_, fault = std::current_exception()] { run.fail(fault); });
    }
    run_.queue.finish();
  }

  run_context& run_;
  boost::asio::any_io_executor loop_;
  std::jthread thread_;
};

// Registers a run with its engine and its handle while in scope.
class under_way {
 public:
  under_way(std::vector<run_context*>& all, run_context*& place, run_context& run)
      : all_(all), place_(place), run_(run) {
    all_.push_back(&run_);
    place_ = &run_;
  }
  under_way(const under_way&) = delete;
  under_way& operator=(const under_way&) = delete;
  ~under_way() {
    std::erase(all_, &run_);
    place_ = nullptr;
  }

 private:
  std::vector<run_context*>& all_;
  run_context*& place_;
  run_context& run_;
};

// Every attempt in flight needs a connection, and the jobs need files: there must be enough
// file descriptors.
void check_open_files(unsigned concurrency, std::size_t files_of_jobs) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) return;
  const std::size_t needed =
      std::max(concurrency, 1U) + upstream::relays::other_files + files_of_jobs;
  if (needed <= files.rlim_cur) return;
  throw fatal_error(
      fatal_error::kind::cannot_start,
      fmt::format("--concurrency {} and the jobs' files need {} open files, but only {} are "
                  "allowed; lower --concurrency, run fewer jobs at once, or raise ulimit -n",
                  concurrency, needed, files.rlim_cur));
}

}  // namespace

struct engine::parts {
  parts(boost::asio::io_context& context, const config& settings, std::unique_ptr<clock> own_clock,
        clock* other_clock, const std::vector<http_client*>& clients, observer* receiver)
      : options(with_seed(settings)),
        owned_clock(std::move(own_clock)),
        time(other_clock != nullptr ? *other_clock : *owned_clock),
        listener(receiver),
        relays(context, time, options.relays(), options.pace, clients, receiver) {}

  config options;
  std::unique_ptr<clock> owned_clock;
  clock& time;
  observer* listener;
  upstream::relays relays;
  std::vector<run_context*> runs;  // active runs
  std::uint64_t run_count = 0;     // runs started so far
};

engine::engine(boost::asio::io_context& loop, const config& options, observer* listener) {
  options.check();
  check_open_files(options.pace.concurrency, options.pace.files_of_jobs);
  parts_ = std::make_unique<parts>(loop, options, std::make_unique<steady_clock>(loop), nullptr,
                                   std::vector<http_client*>{}, listener);
}

engine::engine(boost::asio::io_context& loop, const config& options, clock& time,
               const std::vector<http_client*>& clients, observer* listener) {
  options.check();
  parts_ = std::make_unique<parts>(loop, options, nullptr, &time, clients, listener);
}

engine::~engine() = default;

boost::asio::awaitable<run_outcome> engine::run(request_source& source, result_sink& sink) {
  engine_run one(*this, source, sink);
  co_return co_await one.work();
}

void engine::stop() {
  for (run_context* each : std::vector<run_context*>(parts_->runs)) {
    each->stop({.reason = stop_reason::interrupted, .message = {}});
  }
}

void engine::abort() {
  stop();
  for (run_context* each : parts_->runs) each->abort();
}

namespace {

run_status status_of(const start_gate::status& gate, upstream::relays& relays) {
  run_status status;
  status.in_flight = gate.in_flight;
  status.waiting = gate.waiting;
  status.started_last_minute = gate.started_last_minute;
  status.most_in_a_minute = gate.most_in_a_minute;
  status.started_by_others = relays.gate().starts_of_others();
  status.next_start = gate.next_start;
  status.cause = gate.cause;
  if (status.cause == wait_cause::pause && !gate.by_others) {
    const auto& own = relays[gate.lane].pause;
    status.pause = {own.http_status, own.asked};
  }
  status.full = gate.full;
  status.one_at_a_time = relays.in_trouble();
  return status;
}

// Sets `full` and `slowed` only if requests wait; call it after the queues were counted.
void finish_status(run_status& status, bool lanes_full) {
  status.full = status.full && (status.waiting > 0 || status.queued > 0);
  status.slowed = std::exchange(status.full, status.full && !lanes_full) && lanes_full;
}

}  // namespace

run_status engine::now() const {
  const auto gate = parts_->relays.gate().now();
  run_status status = status_of(gate, parts_->relays);
  status.one_at_a_time = status.one_at_a_time && !parts_->runs.empty();
  for (run_context* each : parts_->runs) {
    status.queued += each->queue.waiting();
    status.reading = status.reading || each->queue.is_being_filled();
    status.waiting_for_budget += each->waiting_for_budget();
    status.waiting += each->waiting_for_own_limit();
    status.waiting_for_model += each->waiting_for_model();
    status.faulted = status.faulted || each->fault != nullptr;
  }
  finish_status(status, gate.lanes_full);
  return status;
}

std::vector<relay_status> engine::relay_statuses() const {
  upstream::relays& all = parts_->relays;
  const time_point now = parts_->time.now();
  std::vector<relay_status> found;
  for (std::size_t at = 0; at < all.size(); ++at) {
    const upstream::relay& each = all[at];
    relay_status one;
    if (all.size() > 1) one.name = each.options.name;
    one.in_flight = all.gate().in_flight(at);
    one.requests_per_minute = each.requests_per_minute;
    one.served_per_minute = each.health.rate().per_minute();
    one.one_at_a_time = each.health.trial();
    one.resting = each.resting;
    if (each.resting) {
      one.back_at = each.back_at;
      one.rest_reason = each.rest_reason;
    }
    const time_point paused_until = all.gate().paused_until(at);
    if (paused_until > now) one.paused_until = paused_until;
    found.push_back(std::move(one));
  }
  return found;
}

unsigned engine::requests_per_minute() const noexcept {
  return parts_->relays.requests_per_minute();
}

live_limits engine::limits() const {
  return parts_->relays.limits();
}

void engine::set_limits(const live_limits& fresh) {
  pace_options& pace = parts_->options.pace;
  if (fresh.concurrency > pace.concurrency) check_open_files(fresh.concurrency, pace.files_of_jobs);
  pace.concurrency = fresh.concurrency;
  pace.tokens_per_minute = fresh.tokens_per_minute;
  parts_->relays.set_limits(fresh);
  for (run_context* each : parts_->runs) {
    each->workers.set_wanted(upstream::most_in_flight(pace));
  }
}

clock& engine::time() noexcept {
  return parts_->time;
}

upstream::relays& engine::relays() noexcept {
  return parts_->relays;
}

struct engine_run::parts {
  parts(engine::parts& engine, request_source& requests, result_sink& results, std::string label,
        run_limit* own_limit)
      : shared(engine), source(requests), sink(results), name(std::move(label)), limit(own_limit) {}

  engine::parts& shared;
  request_source& source;
  result_sink& sink;
  const std::string name;
  run_limit* limit;
  run_context* current = nullptr;      // set while the run is active
  run_status last;                     // set when it is over
  std::optional<run_outcome> stopped;  // stop() was called, maybe before work()
  std::function<void(const run_outcome&)> tell_of_stop;
};

engine_run::engine_run(engine& parent, request_source& source, result_sink& sink, std::string name,
                       run_limit* limit)
    : parts_(std::make_unique<parts>(*parent.parts_, source, sink, std::move(name), limit)) {}

engine_run::~engine_run() {
  assert(parts_->current == nullptr);  // work() has ended
}

boost::asio::awaitable<run_outcome> engine_run::work() {
  const auto loop = co_await boost::asio::this_coro::executor;
  // If this wait could be cancelled, the workers would lose the run; stop() and abort() end it.
  co_await boost::asio::this_coro::reset_cancellation_state(boost::asio::disable_cancellation());
  engine::parts& shared = parts_->shared;
  run_context run(loop, shared.options, shared.time, shared.relays, parts_->source, parts_->sink,
                  parts_->name, shared.run_count++, shared.listener, parts_->limit,
                  parts_->tell_of_stop);
  const under_way here(shared.runs, parts_->current, run);
  if (parts_->stopped) run.stop(*parts_->stopped);
  {
    const reader_thread reader(run, loop);
    run.workers.start();
    co_await run.workers.wait_until_gone();
  }
  co_await run.writer.idle();
  // The reader and the last result may have posted calls that use the run.
  co_await boost::asio::post(loop, boost::asio::use_awaitable);
  parts_->last = now();
  if (run.fault) std::rethrow_exception(run.fault);
  parts_->sink.flush();
  co_return run.final_outcome();
}

void engine_run::stop() {
  stop({.reason = stop_reason::interrupted, .message = {}});
}

void engine_run::stop(const run_outcome& why) {
  parts_->stopped = why;
  if (parts_->current != nullptr) parts_->current->stop(why);
}

void engine_run::on_stop(std::function<void(const run_outcome&)> tell) {
  parts_->tell_of_stop = std::move(tell);
}

void engine_run::abort() {
  stop();
  if (parts_->current != nullptr) parts_->current->abort();
}

void engine_run::funds_changed() {
  if (parts_->current != nullptr) parts_->current->funds_freed();
}

run_status engine_run::now() const {
  if (parts_->current == nullptr) return parts_->last;
  run_context& run = *parts_->current;
  auto& gate = parts_->shared.relays.gate();
  const auto turns = gate.now(run.turns);
  run_status status = status_of(turns, parts_->shared.relays);
  status.queued = run.queue.waiting();
  status.reading = run.queue.is_being_filled();
  status.waiting_for_budget = run.waiting_for_budget();
  status.waiting += run.waiting_for_own_limit();
  status.waiting_for_model = run.waiting_for_model();
  status.faulted = run.fault != nullptr;
  finish_status(status, turns.lanes_full);
  return status;
}

}  // namespace sluice
