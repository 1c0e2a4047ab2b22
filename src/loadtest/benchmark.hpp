#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "loadtest/find_limit/limit_search.hpp"
#include "loadtest/load_plan.hpp"
#include "loadtest/load_run.hpp"
#include "loadtest/spending.hpp"
#include "loadtest/target.hpp"
#include "sluice/wait_cause.hpp"

namespace sluice::bench {

/// Runs all loads of a plan, one after the other, on all targets, and makes the document with the
/// results (docs/bench.schema.json). Not thread safe: use it on the event loop's thread. One object
/// runs only once.
class benchmark {
 public:
  struct options {
    std::string model;  ///< the model's name in the document
    bool streamed = true;
    bool simulated = false;
    nlohmann::ordered_json input;  ///< `input` of the document
    std::uint64_t seed = 1;
    std::string id;              ///< prefix of the Idempotency-Keys; different for each benchmark
    bool counts_tokens = false;  ///< there is a limit in tokens per minute
    duration max_wait = std::chrono::minutes{10};
  };

  /// If the starts of a load waited for sluice's own limit, or for the budget, for this share of
  /// the time, that held the load back.
  static constexpr double held_share = 0.05;

  benchmark(boost::asio::any_io_executor loop, clock& time, std::vector<target*> targets,
            load_plan plan, spending& money, options chosen);
  /// Before the loads, the limit of each target is searched for with these objects, in the order of
  /// the targets.
  void search_limits(std::vector<limit_search*> searches) { searches_ = std::move(searches); }

  boost::asio::awaitable<void> run();
  /// Starts no more requests. Requests in flight finish and are reported. `why`: the reason, for
  /// the report.
  void stop(const std::string& why);
  /// Also ends the requests in flight.
  void abort();

  struct status {
    std::string load;  ///< empty before the first load, while the limit is searched for
    /// It waits until the starts of earlier runs have left the window.
    bool waiting_for_others = false;
    std::size_t number = 0;
    std::optional<std::size_t> of;  ///< number of loads; nullopt: a sweep
    std::uint64_t ended = 0;        ///< requests of the load
    std::uint64_t in_flight = 0;
    std::uint64_t started_last_minute = 0;
    std::uint64_t started_by_others = 0;  ///< starts of other runs that count for the limits now
    std::uint64_t cap = 0;  ///< the sum of the limits of all targets; 0: one has no limit
    /// What the starts of a target wait for, and for how many seconds. none: they do not wait.
    wait_cause cause = wait_cause::none;
    double wait_s = 0;
    /// The HTTP status that caused a pause that this program began; 0: unknown.
    std::optional<int> pause_status;
    duration pause_asked{};  ///< the wait that the relay asked for
    double unix_now = 0;
    std::optional<double> left_s;  ///< estimated time until the end of the last known load
    bool more_to_come = false;     ///< a sweep may continue after that
    std::optional<usd> cost;
  };
  status now() const;

  /// Whether at least one target answered at least one request.
  bool measured() const;
  bool some_succeeded() const;  ///< a measured request succeeded
  /// A measured request failed.
  bool some_failed() const;
  /// Why not everything was measured, in words for the user; empty: everything was.
  const std::string& why_stopped() const noexcept { return why_stopped_; }
  const std::string& why_sweep_ended() const { return plan_.why(); }
  nlohmann::ordered_json document() const;

 private:
  boost::asio::awaitable<void> search();
  boost::asio::awaitable<void> put(const load& asked);
  std::optional<double> seconds_left(std::uint64_t cap) const;
  nlohmann::ordered_json document_of(std::size_t place) const;

  boost::asio::any_io_executor loop_;
  clock& time_;
  std::vector<target*> targets_;
  load_plan plan_;
  std::vector<limit_search*> searches_;
  spending& money_;
  options options_;
  double started_at_ = 0;
  std::unique_ptr<load_run> current_;
  std::optional<load> current_load_;
  std::size_t number_ = 0;
  std::vector<nlohmann::ordered_json> loads_;  // by target
  bool some_succeeded_ = false;
  bool some_failed_ = false;
  std::string why_stopped_;
};

}  // namespace sluice::bench
