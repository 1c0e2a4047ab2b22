#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <functional>

namespace sluice::cli {

/// From now on SIGUSR1 and SIGUSR2 have no effect, unless a user_signals object takes them. Signals
/// that are ignored stay ignored. Programs that this process starts do not inherit this.
void outlast_user_signals();

/// SIGUSR1 and SIGUSR2, with which a person asks a command for its status, or to read its settings
/// again. From the construction of this object on they do not end the process, also before
/// listen(), after leave() and after its end. Signals that were ignored when the program started
/// stay ignored. Use it on the thread of its event loop.
class user_signals {
 public:
  explicit user_signals(boost::asio::io_context& loop);
  user_signals(const user_signals&) = delete;
  user_signals& operator=(const user_signals&) = delete;
  ~user_signals();

  /// Calls these functions for the signals from now on, and for a signal that came before.
  void listen(std::function<void()> on_first, std::function<void()> on_second);
  /// Stops calling the functions, so that the event loop can end.
  void leave();

 private:
  void wait();

  boost::asio::signal_set signals_;
  std::function<void()> on_first_;
  std::function<void()> on_second_;
  bool left_ = false;
};

}  // namespace sluice::cli
