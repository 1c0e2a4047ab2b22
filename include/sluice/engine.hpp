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
/// Everything runs on the event loop given, on one thread, but the source, which has a thread of
/// its own. One run at a time; the object outlives it.
class engine {
 public:
  /// With the real clock and the real client. Throws fatal_error when the options cannot be used.
  engine(boost::asio::io_context& loop, const config& options);
  /// With others, a client for each of `options.relays()`: the seam for tests.
  engine(boost::asio::io_context& loop, const config& options, clock& time,
         std::vector<http_client*> clients);
  ~engine();
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  /// Runs until every request has its result, or the run is stopped. Throws fatal_error when the
  /// source cannot be read on or results cannot be written; what is in flight has ended by then.
  boost::asio::awaitable<run_outcome> run(request_source& source, result_sink& sink);

  /// Nothing new is sent; what is in flight finishes. A request without a result stays pending.
  void stop();
  /// Ends what is in flight, too.
  void abort();

  run_status now() const;
  /// The limits of all relays together; 0: no limit.
  unsigned requests_per_minute() const noexcept;
  clock& time() noexcept;

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace sluice
