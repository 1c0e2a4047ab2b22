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

// Feeds the queue from a thread of its own: reading and checking lines must not hold up the event
// loop.
class reader_thread {
 public:
  reader_thread(run_context& fed, boost::asio::any_io_executor loop)
      : run_(fed), loop_(std::move(loop)), thread_([this] { read(); }) {}
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
      // The run waits for what is posted, this thread's object does not.
      boost::asio::post(loop_,
                        [&run = run_, fault = std::current_exception()] { run.fail(fault); });
    }
    run_.queue.finish();
  }

  run_context& run_;
  boost::asio::any_io_executor loop_;
  std::jthread thread_;
};

// A run is known to its engine, and to its handle, while in scope.
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

// Every attempt in flight holds a connection, and the jobs and their results need files, too.
void check_open_files(const pace_options& pace) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) return;
  const std::size_t needed =
      std::max(pace.concurrency, 1U) + upstream::relays::other_files + pace.files_of_jobs;
  if (needed <= files.rlim_cur) return;
  throw fatal_error(
      fatal_error::kind::cannot_start,
      fmt::format("--concurrency {} and the jobs' files need {} open files, and {} are allowed; "
                  "lower it, run fewer jobs at once, or allow more with ulimit -n",
                  pace.concurrency, needed, files.rlim_cur));
}

}  // namespace

struct engine::parts {
  parts(boost::asio::io_context& context, const config& chosen, std::unique_ptr<clock> own_clock,
        clock* given_clock, const std::vector<http_client*>& clients, observer* listener)
      : options(with_seed(chosen)),
        owned_clock(std::move(own_clock)),
        time(given_clock != nullptr ? *given_clock : *owned_clock),
        hears(listener),
        relays(context, time, options.relays(), options.pace, clients, listener) {}

  const config options;
  std::unique_ptr<clock> owned_clock;
  clock& time;
  observer* hears;
  upstream::relays relays;
  std::vector<run_context*> runs;  // under way
  std::uint64_t begun = 0;         // runs, so far
};

engine::engine(boost::asio::io_context& loop, const config& options, observer* listener) {
  options.check();
  check_open_files(options.pace);
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
    each->stop(stop_reason::interrupted, {});
  }
}

void engine::abort() {
  stop();
  for (run_context* each : parts_->runs) each->abort();
}

namespace {

run_status status_of(const start_gate::status& gate, const upstream::relays& relays) {
  run_status told;
  told.in_flight = gate.in_flight;
  told.waiting = gate.waiting;
  told.started_last_minute = gate.started_last_minute;
  told.most_in_a_minute = gate.most_in_a_minute;
  told.next_start = gate.next_start;
  told.full = gate.full;
  told.one_at_a_time = relays.in_trouble();
  return told;
}

// Whether anything waits for a place is known once the queues are counted.
void finish_status(run_status& told, bool lanes_full) {
  told.full = told.full && (told.waiting > 0 || told.queued > 0);
  told.slowed = std::exchange(told.full, told.full && !lanes_full) && lanes_full;
}

}  // namespace

run_status engine::now() const {
  const auto gate = parts_->relays.gate().now();
  run_status told = status_of(gate, parts_->relays);
  told.one_at_a_time = told.one_at_a_time && !parts_->runs.empty();
  for (const run_context* each : parts_->runs) {
    told.queued += each->queue.waiting();
    told.faulted = told.faulted || each->fault != nullptr;
  }
  finish_status(told, gate.lanes_full);
  return told;
}

unsigned engine::requests_per_minute() const noexcept {
  return parts_->relays.requests_per_minute();
}

clock& engine::time() noexcept {
  return parts_->time;
}

struct engine_run::parts {
  parts(engine::parts& over, request_source& requests, result_sink& results, std::string called)
      : shared(over), source(requests), sink(results), name(std::move(called)) {}

  engine::parts& shared;
  request_source& source;
  result_sink& sink;
  const std::string name;
  run_context* current = nullptr;  // while it is under way
  run_status last;                 // once it is over
  bool stopped = false;            // before it began
};

engine_run::engine_run(engine& over, request_source& source, result_sink& sink, std::string name)
    : parts_(std::make_unique<parts>(*over.parts_, source, sink, std::move(name))) {}

engine_run::~engine_run() {
  assert(parts_->current == nullptr);  // work() has ended
}

boost::asio::awaitable<run_outcome> engine_run::work() {
  const auto loop = co_await boost::asio::this_coro::executor;
  // A cancelled wait would leave the workers behind; stop() and abort() end a run.
  co_await boost::asio::this_coro::reset_cancellation_state(boost::asio::disable_cancellation());
  engine::parts& over = parts_->shared;
  run_context run(loop, over.options, over.time, over.relays, parts_->source, parts_->sink,
                  parts_->name, over.begun++, over.hears);
  const under_way here(over.runs, parts_->current, run);
  if (parts_->stopped) run.stop(stop_reason::interrupted, {});
  {
    const reader_thread reader(run, loop);
    run.workers.start();
    co_await run.workers.wait_until_gone();
  }
  co_await run.writer.idle();
  // The reader and the last result may have left something in the event loop.
  co_await boost::asio::post(loop, boost::asio::use_awaitable);
  parts_->last = now();
  if (run.fault) std::rethrow_exception(run.fault);
  parts_->sink.flush();
  co_return run.stopping() ? run.outcome : run.deferred_outcome;
}

void engine_run::stop() {
  parts_->stopped = true;
  if (parts_->current != nullptr) parts_->current->stop(stop_reason::interrupted, {});
}

void engine_run::abort() {
  stop();
  if (parts_->current != nullptr) parts_->current->abort();
}

run_status engine_run::now() const {
  if (parts_->current == nullptr) return parts_->last;
  run_context& run = *parts_->current;
  auto& gate = parts_->shared.relays.gate();
  const auto turns = gate.now(run.turns);
  run_status told = status_of(turns, parts_->shared.relays);
  told.queued = run.queue.waiting();
  told.faulted = run.fault != nullptr;
  finish_status(told, turns.lanes_full);
  return told;
}

}  // namespace sluice
