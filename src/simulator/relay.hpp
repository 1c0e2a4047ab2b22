// The relay simulator: an OpenAI-compatible relay on a local port, with its own rate limit, price
// list, faults and ledger. It shares no code with the client, so that tests can check the client
// against it.
//
//   relay simulated(profile_options("faulty"));
//   simulated.start();
//   … send requests to simulated.base_url() …
//   simulated.stop();
//   std::cout << simulated.ledger_json();
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "simulator/options.hpp"

namespace sluice::simulator {

/// A running simulated relay. Thread safe, except for construction and destruction.
class relay {
 public:
  /// Binds the port; connections wait until start(). Throws std::runtime_error if that fails.
  explicit relay(options options);
  ~relay();
  relay(const relay&) = delete;
  relay& operator=(const relay&) = delete;

  std::uint16_t port() const;
  /// `http://127.0.0.1:8787/v1`
  std::string base_url() const;

  /// Starts the thread that serves.
  void start();
  /// Drops all connections and joins the thread. The relay cannot be started again.
  void stop();

  std::string ledger_json(bool with_requests = false) const;
  std::string ledger_summary() const;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace sluice::simulator
