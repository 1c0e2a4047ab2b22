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

/// All loads of a plan, one after the other, on all targets, and the document that tells of them
/// (docs/bench.schema.json). On the event loop; run once.
class benchmark {
 public:
  struct options {
    std::string model;  ///< as the document names it
    bool streamed = true;
    bool simulated = false;
    nlohmann::ordered_json input;  ///< `input` of the document
    std::uint64_t seed = 1;
    std::string id;              ///< begins the Idempotency-Keys; another for each benchmark
    bool counts_tokens = false;  ///< there is a limit of tokens a minute
    duration max_wait = std::chrono::minutes{10};
  };

  /// A load whose starts waited for sluice's own limit for so much of the time was held by it.
  static constexpr double held_share = 0.05;

  benchmark(boost::asio::any_io_executor loop, clock& time, std::vector<target*> targets,
            load_plan plan, spending& money, options chosen);
  /// Has the limit of each target looked for before the loads: by these, in the targets' order.
  void search_limits(std::vector<limit_search*> searches) { searches_ = std::move(searches); }

  boost::asio::awaitable<void> run();
  /// Nothing more is started; what is in flight ends, and is reported. `why`: for the report.
  void stop(const std::string& why);
  /// Ends what is in flight, too.
  void abort();

  struct status {
    std::string load;                 ///< empty before the first: the limit is looked for
    bool waiting_for_others = false;  ///< starts of earlier runs are to be out of the window first
    std::size_t number = 0;
    std::optional<std::size_t> of;  ///< so many loads; nothing: a sweep
    std::uint64_t ended = 0;        ///< requests of the load
    std::uint64_t in_flight = 0;
    std::uint64_t started_last_minute = 0;
    std::uint64_t started_by_others = 0;  ///< of other runs, that count for the limits now
    std::uint64_t cap = 0;                ///< the limits of all targets together; 0: one has none
    /// What the starts of a target wait for, and for how many seconds; none: they do not wait.
    wait_cause cause = wait_cause::none;
    double wait_s = 0;
    std::optional<int> pause_status;  ///< of a pause that this program began; 0: unknown
    duration pause_asked{};           ///< the wait that the relay asked for then
    double unix_now = 0;
    std::optional<double> left_s;  ///< about, until the end of the last load that is known
    bool more_to_come = false;     ///< a sweep may go on after that
    std::optional<usd> cost;
  };
  status now() const;

  /// Whether any target answered any request.
  bool measured() const;
  bool some_succeeded() const;  ///< of those that were measured
  /// Some measured request failed.
  bool some_failed() const;
  /// Why not all was measured that was asked for, for a person; empty: all was.
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
