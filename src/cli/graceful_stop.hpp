#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "sluice/clock.hpp"
#include "terminal/exit_status.hpp"
#include "terminal/interrupts.hpp"

namespace sluice::cli {

/// Ends the work of a command when a signal asks for it. The first signal stops the work: nothing
/// new starts, and what is in flight has a grace period. The second signal, or the end of the grace
/// period, aborts it. Use it on the thread of the event loop; only one object may exist at a time.
class graceful_stop {
 public:
  struct actions {
    /// Starts nothing new.
    std::function<void()> stop;
    /// Aborts the work in flight.
    std::function<void()> abort;
    /// Counts the work in flight, for the message after the first signal; empty: there is no
    /// message.
    std::function<std::uint64_t()> in_flight = {};
    /// The message if the first signal comes after leave(), when it does not end the process yet;
    /// null: none. It must live as long as the program.
    const char* while_finishing = nullptr;
  };

  /// From now on it receives the signals.
  graceful_stop(boost::asio::io_context& loop, clock& time, duration grace, actions work);
  graceful_stop(const graceful_stop&) = delete;
  graceful_stop& operator=(const graceful_stop&) = delete;
  ~graceful_stop() { leave(); }

  /// Stops the work as the first signal does, without a message.
  void stop();
  /// The work is over: no action is called any more, and the loop may end.
  void leave();

  /// The remaining time for the work in flight, in seconds; nullopt: no signal has come.
  std::optional<double> seconds_left() const;

  /// The work that was in flight when its time was over, or when the second signal came.
  std::uint64_t abandoned() const noexcept { return abandoned_; }

  /// Whether a signal came while the work was active.
  bool interrupted() const noexcept { return signals_.came(); }
  /// The exit status of work that ended with `ended`: cli::interrupted if a signal came, unless
  /// `ended` says that the command could not start or lost results.
  exit_status status(exit_status ended) const noexcept;

 private:
  void end_in_order();
  void abandon(const std::string& why);

  clock& time_;
  duration grace_;
  actions work_;
  interrupts signals_;
  clock::timer end_of_grace_ = 0;
  time_point end_{};
  bool stopping_ = false;
  std::uint64_t abandoned_ = 0;
};

}  // namespace sluice::cli
