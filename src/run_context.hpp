#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <exception>
#include <string>

#include "http_client.hpp"
#include "job_queue.hpp"
#include "naps.hpp"
#include "relay_health.hpp"
#include "retry.hpp"
#include "sluice/engine.hpp"
#include "start_gate.hpp"
#include "wait_queue.hpp"

namespace sluice {

/// What the workers of one run share. Belongs to the event loop's thread but for the queue's other
/// end.
class run_context {
 public:
  static constexpr unsigned other_files = 64;  ///< that may be open beside the connections

  run_context(boost::asio::any_io_executor loop, const config& options, clock& time,
              http_client& relay, start_gate& gate, request_source& source, result_sink& sink);

  /// Ends the run before its jobs: the first reason stands. Attempts in flight finish.
  void stop(stop_reason reason, std::string message);
  /// Ends it because of a fault here rather than at the relay. Attempts in flight finish, too.
  void fail(std::exception_ptr fault);
  /// The same, and nothing can be done with what is in flight.
  void give_up(std::exception_ptr fault);
  bool stopping() const noexcept { return outcome.reason != stop_reason::none || fault != nullptr; }

  /// Hands a result to the sink, and has it written as soon as what is ready now has been done.
  void put(result&& finished);

  /// An attempt ended; what it says of the relay as a whole is acted on here.
  void answered(time_point started);  ///< the head of a good reply has come
  void succeeded(time_point started);
  relay_health::verdict failed(const failure& why, time_point started);

  /// A request waits for the address to be told right or wrong. The run stops when none is left
  /// that could tell.
  boost::asio::awaitable<void> wait_for_address();
  void check_suspects();

  // The crew: as many workers as there may be attempts in flight, and one more for each that waits
  // out a backoff, so that waiting takes no place from the others.
  void start_workers();
  void rest();    ///< the calling worker begins to wait out a backoff
  void resume();  ///< it is back
  bool too_many_workers() const noexcept { return workers_ - resting_ > wanted_workers_; }

  const config& options;
  clock& time;
  http_client& relay;
  start_gate& gate;
  request_source& source;
  result_sink& sink;
  job_queue queue;
  naps backoffs;
  retry_policy retries;
  relay_health health;
  run_outcome outcome;
  std::exception_ptr fault;
  std::size_t requests_in_hand = 0;  ///< taken from the queue, without a result yet
  wait_queue all_done;               ///< woken when the last worker has ended

  std::size_t workers() const noexcept { return workers_; }

 private:
  void follow_health();
  void add_worker();
  boost::asio::awaitable<void> work();

  boost::asio::any_io_executor loop_;
  std::size_t wanted_workers_;
  std::size_t workers_ = 0;
  std::size_t resting_ = 0;
  wait_queue suspects_;
  bool flush_posted_ = false;
  bool in_trouble_ = false;
};

}  // namespace sluice
