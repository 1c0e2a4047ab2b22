#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>

#include "async/wait_queue.hpp"
#include "sluice/clock.hpp"
#include "sluice/result.hpp"
#include "sluice/result_sink.hpp"

namespace sluice {

/// Passes the results of a run to its sink. Not thread safe: use it on the event loop's thread;
/// only the sink's callbacks may come from any thread. Writes in batches: all results that are
/// ready at the same time, and all records of attempts that are about to start.
class sink_writer {
 public:
  /// `failed` is called if something could not be written.
  sink_writer(boost::asio::any_io_executor loop, clock& time, result_sink& sink,
              std::function<void(std::exception_ptr)> failed);
  sink_writer(const sink_writer&) = delete;
  sink_writer& operator=(const sink_writer&) = delete;
  ~sink_writer();

  /// The result is written in the next turn of the event loop, together with others.
  void put(result&& finished);
  /// If results must be durable: waits until all results passed to put() are on disk.
  boost::asio::awaitable<void> durable();
  /// Waits until the sink's record of the attempt is on disk. False: it cannot be written, so the
  /// attempt must not be sent.
  boost::asio::awaitable<bool> recorded();
  /// Waits until the sink has made all its callbacks.
  boost::asio::awaitable<void> idle();

 private:
  // Results or records that are synced together.
  struct batch {
    wait_queue waiting;
    bool done = false;
    bool failed = false;
  };

  void flush();
  void begin_record();
  std::function<void(std::exception_ptr)> end_of(std::shared_ptr<batch> written);
  void sync_soon();

  boost::asio::any_io_executor loop_;
  clock& time_;
  result_sink& sink_;
  const std::function<void(std::exception_ptr)> failed_;
  std::shared_ptr<batch> next_flush_;
  std::shared_ptr<batch> last_durable_;  // the last batch of results passed to make_durable()
  std::shared_ptr<batch> next_record_;
  std::size_t batches_ = 0;  // batches whose callback has not come yet
  wait_queue idle_;
  clock::timer sync_timer_ = 0;
};

}  // namespace sluice
