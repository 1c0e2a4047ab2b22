// The relay simulator: an OpenAI-compatible relay on a local port, with a limit, a price list,
// faults and a ledger of its own. It shares no code with the client, so that it can judge it.
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

class relay {
 public:
  /// Binds the port: connections wait from here on. Throws std::runtime_error when it cannot.
  explicit relay(options options);
  /// Stops.
  ~relay();
  relay(const relay&) = delete;
  relay& operator=(const relay&) = delete;

  std::uint16_t port() const;
  /// `http://127.0.0.1:8787/v1`
  std::string base_url() const;

  /// Serves on a thread of its own.
  void start();
  /// Drops all connections and joins the thread; there is no starting again.
  void stop();

  // Both from any thread, at any time.
  std::string ledger_json(bool with_requests = false) const;
  std::string ledger_summary() const;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace sluice::simulator
