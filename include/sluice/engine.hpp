#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sluice/clock.hpp"
#include "sluice/config.hpp"
#include "sluice/error.hpp"
#include "sluice/live_limits.hpp"
#include "sluice/observer.hpp"
#include "sluice/relay_status.hpp"
#include "sluice/request_source.hpp"
#include "sluice/result_sink.hpp"
#include "sluice/run_limit.hpp"
#include "sluice/wait_cause.hpp"

namespace sluice {

class http_client;
namespace upstream {
class relays;
}

struct run_outcome {
  stop_reason reason = stop_reason::none;  ///< none: every request has its result
  std::string message;                     ///< why the run stopped, in the relay's words
  std::optional<double> again_at{};        ///< when the relay accepts requests again; Unix time
  /// Why the run had also given up a job or a model before it stopped; none: it had not.
  stop_reason gave_up = stop_reason::none;
  std::string gave_up_message{};
};

/// A snapshot of what a run is doing.
struct run_status {
  std::size_t in_flight = 0;
  std::size_t waiting = 0;  ///< requests that wait for permission to start
  std::size_t queued = 0;   ///< read from the source, not yet taken by a worker
  bool reading = false;     ///< the source is being asked for more requests
  std::uint64_t started_last_minute = 0;
  std::uint64_t most_in_a_minute = 0;
  /// Starts of other runs, including earlier runs, that still count against the limit.
  std::uint64_t started_by_others = 0;
  std::optional<time_point> next_start;  ///< set while requests wait for the limit or a pause
  wait_cause cause = wait_cause::none;   ///< set with next_start
  /// Why this process paused. `http_status`: the HTTP status of the failure; 0: it had none.
  /// `asked`: the wait that the relay asked for; zero: it named none. Unset: another process began
  /// the pause.
  struct pause_reason {
    int http_status = 0;
    duration asked{};
  };
  std::optional<pause_reason> pause;
  bool full = false;    ///< requests wait because `concurrency` is reached
  bool slowed = false;  ///< requests wait because the relay answers too slowly for more
  std::size_t waiting_for_budget = 0;  ///< requests that wait until others have settled
  std::size_t waiting_for_model = 0;   ///< requests whose model has no upstream for now
  bool one_at_a_time = false;  ///< the relay fails, so only one trial request is sent at a time
  bool faulted = false;        ///< a local error ends the run; attempts in flight may still finish
};

/// The main class. Reads requests from a source, sends them to a relay or a pool of relays under
/// one rate limit, retries temporary failures, and puts every result into a sink. Not thread safe:
/// it runs on one event loop and one thread; only the sources are read on their own threads.
///
/// An engine is long-lived. It owns the state of its relays (connections, rate limit, health,
/// adaptive rates, token forecast) and serves several runs, one after another or at the same time.
/// Runs share one limit, first come, first served. Each run has its own source, sink, queue and
/// workers. When the last run ends, idle connections are closed, so that the event loop can end.
///
/// Engines in several threads or processes share a key's limit only through `pace.limit_folder`.
/// The engine sets up no logging and handles no signals.
///
/// The event loop must outlive the engine. Destroy the engine only when no run is active and the
/// loop has nothing left to do.
class engine {
 public:
  /// Uses the real clock and HTTP client. Throws fatal_error if the options are invalid.
  /// `listener` receives notices; may be null.
  engine(boost::asio::io_context& loop, const config& options, observer* listener = nullptr);
  /// For tests: uses another clock, and one client for each of `options.relays()`.
  engine(boost::asio::io_context& loop, const config& options, clock& time,
         const std::vector<http_client*>& clients, observer* listener = nullptr);
  ~engine();
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  /// Runs until every request has its result, or the run is stopped. A short form of engine_run.
  boost::asio::awaitable<run_outcome> run(request_source& source, result_sink& sink);

  /// Stops all active runs: nothing new is sent, attempts in flight finish. A request without a
  /// result stays pending.
  void stop();
  /// Like stop(), but also cancels the attempts in flight.
  void abort();

  /// The status of all runs together.
  run_status now() const;
  /// The status of each relay, in the order of config::relays().
  std::vector<relay_status> relay_statuses() const;
  /// The sum of the limits of all relays; 0: no limit.
  unsigned requests_per_minute() const noexcept;
  clock& time() noexcept;
  /// The state that all runs share, for other parts of this program that send requests.
  upstream::relays& relays() noexcept;

  live_limits limits() const;
  /// Replaces the limits, also for active runs. Attempts in flight continue. Throws fatal_error and
  /// changes nothing if the system allows fewer open files than the concurrency needs.
  void set_limits(const live_limits& fresh);

 private:
  friend class engine_run;
  struct parts;
  std::unique_ptr<parts> parts_;
};

/// One run on an engine; other runs may be active at the same time. Not thread safe: use it on the
/// event loop's thread. The engine, the source and the sink must outlive it, and it must outlive
/// the coroutine work().
class engine_run {
 public:
  /// `name` is the `run` in the notices of this run. `limit`: applies to this run in addition to
  /// the limits of the relays; null: none.
  engine_run(engine& parent, request_source& source, result_sink& sink, std::string name = {},
             run_limit* limit = nullptr);
  ~engine_run();
  engine_run(const engine_run&) = delete;
  engine_run& operator=(const engine_run&) = delete;

  /// Runs until every request has its result, or the run is stopped. Call it once. Asio's
  /// cancellation has no effect; use stop() or abort(). Throws fatal_error if the source cannot be
  /// read or results cannot be written; all attempts have ended by then.
  boost::asio::awaitable<run_outcome> work();

  /// Nothing new is sent, attempts in flight finish. A request without a result stays pending.
  void stop();
  /// The same with another outcome than stop_reason::interrupted.
  void stop(const run_outcome& why);
  /// Sets a function that is called when the run stops before its end, before it cancels the
  /// source. Call it before work().
  void on_stop(std::function<void(const run_outcome&)> tell);
  /// Like stop(), but also cancels the attempts in flight.
  void abort();
  /// Tells the run that result_sink::reserve() may now give another answer.
  void funds_changed();
  /// The status; after the run, the status at its end.
  run_status now() const;

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace sluice
