#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>

#include "sluice/config.hpp"

namespace sluice::cli {

/// A name that no other process on any machine has.
std::string worker_name();

/// The limits that an engine shares with other machines, through a PostgreSQL. To be used on the
/// thread of the event loop. It must outlive the engine.
class machine_limits {
 public:
  /// Opens the database. Blocks. Throws fatal_error.
  machine_limits(boost::asio::io_context& loop, const std::string& store);
  machine_limits(const machine_limits&) = delete;
  machine_limits& operator=(const machine_limits&) = delete;
  ~machine_limits();

  /// For the settings of the engine, before it is made.
  void share_with(pace_options& pace) noexcept;
  /// Renews what this process may send, until stop(). The loop does not end before.
  void begin();
  void stop();

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace sluice::cli
