#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <mutex>

#include "sluice/clock.hpp"
#include "sluice/config.hpp"
#include "sluice/engine.hpp"
#include "sluice/live_limits.hpp"
#include "sluice/observer.hpp"
#include "sluice/request_source.hpp"
#include "sluice/result_sink.hpp"

namespace sluice {

/// The outcome of a run from those of two of its engines. A stop counts more than a job or a model
/// that was given up, and a job more than a model; the first one counts where both are alike. Pure.
run_outcome joined(const run_outcome& first, const run_outcome& second);

/// Several engines that work on one job together, each with its own thread, event loop and
/// connections. They keep one limit, by the shared windows (`pace.limit_folder`, or a private
/// folder if that is empty or cannot be used), and share the concurrency evenly. What one engine
/// learns of a relay (its health, its speed) the others learn on their own, like the engines of
/// several processes.
///
/// With one thread it is a plain engine without locks. Not thread safe: use it on the thread of its
/// event loop, where the first engine works, too.
class engine_team {
 public:
  /// Throws fatal_error if the options are invalid. `listener` may be null, and is called on the
  /// thread of `loop`, but wants() on any.
  engine_team(boost::asio::io_context& loop, const config& options, unsigned threads,
              observer* listener = nullptr);
  ~engine_team();
  engine_team(const engine_team&) = delete;
  engine_team& operator=(const engine_team&) = delete;

  /// The status of all engines together. The part of the other threads is as old as the last call.
  run_status now() const;
  /// As engine::requests_per_minute().
  unsigned requests_per_minute() const noexcept;
  clock& time() noexcept;
  live_limits limits() const;
  /// As engine::set_limits(); the concurrency is that of all engines together.
  void set_limits(const live_limits& fresh);

 private:
  friend class team_run;
  struct parts;
  std::unique_ptr<parts> parts_;
};

/// One run on a team. Create one run only. Not thread safe: use it on the thread of the team's
/// event loop. The team, the source and the sink must outlive it, and it must outlive work().
class team_run {
 public:
  team_run(engine_team& parent, request_source& source, result_sink& sink);
  ~team_run();
  team_run(const team_run&) = delete;
  team_run& operator=(const team_run&) = delete;

  /// As engine_run::work(). When it returns, the other threads have ended.
  boost::asio::awaitable<run_outcome> work();
  /// As engine_run::stop() and engine_run::abort().
  void stop();
  void abort();

  /// While the lock is held, no engine uses the sink. For other calls to the objects behind it.
  std::unique_lock<std::recursive_mutex> hold_sink() const;

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace sluice
