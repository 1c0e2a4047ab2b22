#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>

#include "sluice/config.hpp"

namespace sluice::cli {

/// A name that is unique among all processes on all machines.
std::string worker_name();

/// The limits that an engine shares with other machines, through a PostgreSQL database. Use it on
/// the thread of the event loop. It must outlive the engine.
class machine_limits {
 public:
  /// Opens the database. Blocks. Throws fatal_error.
  machine_limits(boost::asio::io_context& loop, const std::string& store);
  machine_limits(const machine_limits&) = delete;
  machine_limits& operator=(const machine_limits&) = delete;
  ~machine_limits();

  /// Sets the shared limits in the settings of an engine. Call it before the engine is made.
  void share_with(pace_options& pace) noexcept;
  /// Renews this process's part of the limits, until stop(). Until then the loop does not end.
  void begin();
  void stop();

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace sluice::cli
