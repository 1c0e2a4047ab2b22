#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sluice/clock.hpp"
#include "sluice/config.hpp"
#include "sluice/error.hpp"
#include "sluice/observer.hpp"
#include "sluice/request_source.hpp"
#include "sluice/result_sink.hpp"

namespace sluice {

class http_client;

struct run_outcome {
  stop_reason reason = stop_reason::none;  ///< none: every request has its result
  std::string message;                     ///< of a stop: what happened, in the relay's words
  std::optional<double> again_at{};  ///< when the relay wants to be asked again, since the epoch
};

/// What a run is doing at this moment.
struct run_status {
  std::size_t in_flight = 0;
  std::size_t waiting = 0;  ///< requests that wait for their turn
  std::size_t queued = 0;   ///< read from the source, and not yet taken by a worker
  std::uint64_t started_last_minute = 0;
  std::uint64_t most_in_a_minute = 0;
  std::optional<time_point> next_start;  ///< set while the limit or a pause holds the waiting
  bool full = false;                     ///< the concurrency holds them
  bool slowed = false;  ///< like `full`, but fewer: as many as the relay answers in good time
  bool one_at_a_time = false;  ///< the relay is in trouble and gets one trial at a time
  bool faulted = false;        ///< a fault here ends the run; what is in flight may still finish
};

/// Start here: takes requests from a source through the one global limit to the relay, or to those
/// of a pool, tries again what fails in passing, and puts every result into a sink.
///
/// Long-lived: an engine owns what is known of its relays (connections, rate limit, health,
/// adaptive rates, token forecast), and serves several runs, one after the other or at the same
/// time. They share one limit and take turns as they come; each has its own source, sink, queue and
/// workers, and ends without closing anything that others use. With the last run, idle connections
/// are closed, so that an event loop with nothing else to do ends.
///
/// Not thread safe: everything happens on the event loop given, on one thread, but for the sources,
/// each of which has a thread of its own. Engines of several threads or processes share a key's
/// limit by `pace.limit_folder` alone. It sets up no logging and takes no signals.
///
/// The loop outlives it; destroy it when no run is under way and the loop has nothing left to do.
class engine {
 public:
  /// With the real clock and the real client. Throws fatal_error when the options cannot be used.
  /// `seen_by` hears what happens; may be null.
  engine(boost::asio::io_context& loop, const config& options, observer* seen_by = nullptr);
  /// With others, a client for each of `options.relays()`: the seam for tests.
  engine(boost::asio::io_context& loop, const config& options, clock& time,
         const std::vector<http_client*>& clients, observer* seen_by = nullptr);
  ~engine();
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  /// Runs until every request has its result, or the run is stopped: engine_run::work() of a run
  /// that needs no handle.
  boost::asio::awaitable<run_outcome> run(request_source& source, result_sink& sink);

  /// Stops every run under way: nothing new is sent; what is in flight finishes. A request without
  /// a result stays pending.
  void stop();
  /// Ends what is in flight, too.
  void abort();

  /// Of all runs together.
  run_status now() const;
  /// The limits of all relays together; 0: no limit.
  unsigned requests_per_minute() const noexcept;
  clock& time() noexcept;

 private:
  friend class engine_run;
  struct parts;
  std::unique_ptr<parts> parts_;
};

/// One run over an engine's relays, beside others. Belongs to the event loop's thread; the engine,
/// the source and the sink outlive it, and it outlives its work().
class engine_run {
 public:
  /// `name` stands in what the observer hears of this run.
  engine_run(engine& over, request_source& source, result_sink& sink, std::string name = {});
  ~engine_run();
  engine_run(const engine_run&) = delete;
  engine_run& operator=(const engine_run&) = delete;

  /// Runs until every request has its result, or the run is stopped. Call once; Asio's cancellation
  /// does not end it, stop() and abort() do. Throws fatal_error
  /// when the source cannot be read on or results cannot be written; what is in flight has ended by
  /// then.
  boost::asio::awaitable<run_outcome> work();

  /// Nothing new of it is sent; what is in flight finishes. A request without a result stays
  /// pending.
  void stop();
  /// Ends what is in flight, too.
  void abort();
  /// Once the run is over: as it ended.
  run_status now() const;

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace sluice
