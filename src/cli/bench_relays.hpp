#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "cli/settings/bench_settings.hpp"
#include "http/http_client.hpp"
#include "loadtest/find_limit/limit_search.hpp"
#include "loadtest/request_supply.hpp"
#include "loadtest/spending.hpp"
#include "loadtest/target.hpp"
#include "sluice/clock.hpp"
#include "sluice/config.hpp"
#include "upstream/limit_store.hpp"
#include "upstream/start_gate.hpp"

namespace sluice::cli {

/// The relays that a benchmark measures, each with its rate limit window, start gate, client and
/// requests. Not thread safe: use it on the event loop's thread.
class bench_relays {
 public:
  /// All references must outlive it. Throws fatal_error if two relays share a limit, if the system
  /// does not allow enough connections, or if the jobs cannot be read.
  bench_relays(boost::asio::io_context& loop, clock& time, const config& options,
               const std::vector<relay_member>& members, const bench_settings& chosen,
               std::uint64_t seed);

  std::vector<bench::target*> targets();
  const bench::request_supply& requests() const { return *all_.front().supply; }
  /// Throws fatal_error if there is a budget and a request has no price or no highest cost.
  void check_budget(const bench::spending& money) const;
  /// One search for the rate limit of each target.
  std::vector<bench::limit_search*> searches(bench::spending& money, const std::string& id);

  /// Closes idle connections, which would keep the event loop running.
  void leave();

 private:
  struct parts {
    std::unique_ptr<limit_store> store;
    std::unique_ptr<start_gate> gate;
    std::unique_ptr<http_client> client;
    std::unique_ptr<bench::request_supply> supply;
    std::unique_ptr<bench::target> measured;
    std::unique_ptr<bench::limit_search> search;
  };

  boost::asio::io_context& loop_;
  clock& time_;
  const pace_options& pace_;
  const bench_settings& chosen_;
  std::deque<parts> all_;
};

}  // namespace sluice::cli
