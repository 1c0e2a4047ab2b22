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

/// Gives the results of a run to its sink, and has the disk take together what is ready together:
/// results, and the records of attempts that are about to start. Belongs to the event loop's
/// thread; the sink may call back from any.
class sink_writer {
 public:
  /// `failed`: something could not be written.
  sink_writer(boost::asio::any_io_executor loop, clock& time, result_sink& sink,
              std::function<void(std::exception_ptr)> failed);
  sink_writer(const sink_writer&) = delete;
  sink_writer& operator=(const sink_writer&) = delete;
  ~sink_writer();

  /// The result is written as soon as what is ready now has been done, together with others.
  void put(result&& finished);
  /// Waits, where results must be durable, until those that were put are.
  boost::asio::awaitable<void> durable();
  /// Waits until what the sink recorded of an attempt is on the disk. False: it cannot be written,
  /// and the attempt must not go out.
  boost::asio::awaitable<bool> recorded();
  /// Waits until nothing that was given to the disk will call back.
  boost::asio::awaitable<void> idle();

 private:
  // What goes to the disk at one stroke.
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
  std::shared_ptr<batch> last_durable_;  // of results, that is or was brought to the disk
  std::shared_ptr<batch> next_record_;
  std::size_t batches_ = 0;  // given to the disk, which has not called back
  wait_queue idle_;
  clock::timer sync_timer_ = 0;
};

}  // namespace sluice
