#include "sluice/engine.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <boost/asio/this_coro.hpp>
#include <random>
#include <thread>
#include <utility>

#include "run_context.hpp"
#include "steady_clock.hpp"

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
      boost::asio::post(loop_, [this, fault = std::current_exception()] { run_.fail(fault); });
    }
    run_.queue.finish();
  }

  run_context& run_;
  boost::asio::any_io_executor loop_;
  std::jthread thread_;
};

// Makes a run the one that stop() and now() speak of, while in scope.
class current_run {
 public:
  current_run(run_context*& place, run_context& run) : place_(place) { place_ = &run; }
  current_run(const current_run&) = delete;
  current_run& operator=(const current_run&) = delete;
  ~current_run() { place_ = nullptr; }

 private:
  run_context*& place_;
};

// Every attempt in flight holds a connection, and the results need files, too.
void check_open_files(const pace_options& pace) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) return;
  if (pace.concurrency + run_context::other_files <= files.rlim_cur) return;
  throw fatal_error(
      fatal_error::kind::cannot_start,
      fmt::format("--concurrency {} needs {} open files, and {} are allowed; lower it, or allow "
                  "more with ulimit -n",
                  pace.concurrency, pace.concurrency + run_context::other_files, files.rlim_cur));
}

}  // namespace

struct engine::parts {
  parts(boost::asio::io_context& context, const config& chosen, std::unique_ptr<clock> own_clock,
        clock* given_clock, http_client* given_client)
      : loop(context),
        options(with_seed(chosen)),
        owned_clock(std::move(own_clock)),
        time(given_clock != nullptr ? *given_clock : *owned_clock),
        owned_client(given_client != nullptr ? nullptr
                                             : make_http_client(context, time, options.relay)),
        client(given_client != nullptr ? *given_client : *owned_client),
        gate(time,
             {options.pace.requests_per_minute, options.pace.window_margin, options.pace.pace},
             options.pace.concurrency) {}

  boost::asio::io_context& loop;
  const config options;
  std::unique_ptr<clock> owned_clock;
  clock& time;
  std::unique_ptr<http_client> owned_client;
  http_client& client;
  start_gate gate;
  run_context* current = nullptr;
};

engine::engine(boost::asio::io_context& loop, const config& options) {
  options.check();
  check_open_files(options.pace);
  parts_ = std::make_unique<parts>(loop, options, std::make_unique<steady_clock>(loop), nullptr,
                                   nullptr);
}

engine::engine(boost::asio::io_context& loop, const config& options, clock& time,
               http_client& client) {
  options.check();
  parts_ = std::make_unique<parts>(loop, options, nullptr, &time, &client);
}

engine::~engine() = default;

boost::asio::awaitable<run_outcome> engine::run(request_source& source, result_sink& sink) {
  const auto loop = co_await boost::asio::this_coro::executor;
  run_context shared(loop, parts_->options, parts_->time, parts_->client, parts_->gate, source,
                     sink);
  const current_run here(parts_->current, shared);
  parts_->gate.open();
  parts_->client.allow_sending();
  {
    const reader_thread reader(shared, loop);
    shared.start_workers();
    co_await shared.all_done.wait();
  }
  // The reader and the last result may have left something in the event loop.
  co_await boost::asio::post(loop, boost::asio::use_awaitable);
  parts_->gate.close();
  parts_->client.abort();  // idle connections and what still drains
  if (shared.fault) std::rethrow_exception(shared.fault);
  sink.flush();
  co_return shared.outcome;
}

void engine::stop() {
  if (parts_->current != nullptr) parts_->current->stop(stop_reason::interrupted, {});
}

void engine::abort() {
  stop();
  parts_->client.abort();
}

run_status engine::now() const {
  const auto gate = parts_->gate.now();
  run_status told;
  told.in_flight = gate.in_flight;
  told.waiting = gate.waiting;
  told.started_last_minute = gate.started_last_minute;
  told.most_in_a_minute = gate.most_in_a_minute;
  told.next_start = gate.next_start;
  told.full = gate.full && (gate.waiting > 0 ||
                            (parts_->current != nullptr && parts_->current->queue.waiting() > 0));
  told.one_at_a_time = parts_->current != nullptr && parts_->current->health.trial();
  return told;
}

clock& engine::time() noexcept {
  return parts_->time;
}

}  // namespace sluice
