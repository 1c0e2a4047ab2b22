#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/timeline.hpp"
#include "loadtest/client_load.hpp"
#include "loadtest/load.hpp"
#include "loadtest/measurement.hpp"
#include "sluice/histogram.hpp"
#include "sluice/money.hpp"
#include "sluice/usage.hpp"
#include "upstream/rate_limiter.hpp"

namespace sluice::bench {

/// The results of a target under one load: the sums of its measurements. docs/bench.md explains
/// each member of the document. The memory does not grow with the number of requests. Not thread
/// safe.
class load_record {
 public:
  /// `begin`: times of the timeline are relative to it.
  load_record(const load& asked, unsigned cap, time_point begin, double begin_unix);

  /// The first byte of a request is about to be sent. Call it in the order of sending.
  void note_start(time_point sending);
  void add(const measurement& one);
  /// The time between two arrivals of a stream.
  void add_gap(duration gap);
  /// A request never started: the load ended while the request waited for its turn or for the
  /// budget. In an open loop, its waiting time counts as a latency from the intended start.
  void add_vain_wait(time_point wanted, time_point ended, const own_waits& waited);

  std::uint64_t requests() const noexcept { return succeeded_ + failed_; }
  std::uint64_t succeeded() const noexcept { return succeeded_; }
  std::uint64_t failed() const noexcept { return failed_; }
  /// Successes per second.
  std::optional<double> throughput() const;
  /// The share of the time that requests spent waiting for sluice's own limit, of the time in which
  /// they should have been in flight.
  double held_by_cap() const { return share_of_time(waited_for_cap_s_); }
  /// The same for the waits until the budget covered the highest cost of a request.
  double held_by_budget() const { return share_of_time(waited_for_budget_s_); }

  /// The member of `loads` in a document of `sluice bench`. `ran`: the processor time of the thread
  /// for all targets together, in a time of `wall_s` in which `requests` requests ended.
  struct client {
    client_load::usage used;
    double wall_s = 0;
    std::uint64_t requests = 0;
  };
  nlohmann::ordered_json to_json(const client& ran,
                                 const std::optional<std::string>& stopped) const;

 private:
  enum series : std::size_t { started, ended_well, ended_badly, throttled, in_flight, tokens };
  struct model_share {
    std::uint64_t requests = 0;  // only successful ones
    token_usage tokens;
    std::optional<usd> cost;
  };
  struct told_request {
    std::string id;
    std::string request_id;
    double started_unix = 0;
    double latency_ms = 0;
    std::optional<double> ttft_ms;
    std::optional<std::int64_t> completion_tokens;
    std::string error;
    std::string message;
  };

  void add_success(const measurement& one, time_point sent);
  void add_failure(const measurement& one);
  void add_slow(const measurement& one, double latency_ms, std::optional<double> ttft_ms);
  void add_waits(const own_waits& waited);
  double share_of_time(double waited_s) const;
  double seconds(time_point when) const;

  load asked_;
  unsigned cap_;
  time_point begin_;
  double begin_unix_;
  std::uint64_t succeeded_ = 0;
  std::uint64_t failed_ = 0;
  std::uint64_t throttled_ = 0;
  std::optional<time_point> first_sent_;
  std::optional<time_point> first_start_;  // of the requests that were sent
  std::optional<time_point> last_start_;
  std::optional<time_point> last_end_;
  std::uint64_t sent_ = 0;
  std::uint64_t never_started_ = 0;
  std::optional<time_point> waited_until_;  // of the requests that never started
  start_meter meter_;
  token_usage tokens_;
  std::uint64_t with_usage_ = 0;
  std::uint64_t estimated_ = 0;
  std::optional<usd> cost_;
  std::map<std::string, model_share> models_;
  std::map<std::string, std::uint64_t> errors_;
  histogram connect_;
  histogram ttfb_;
  histogram ttft_;
  histogram first_content_;
  histogram inter_token_;
  histogram inter_chunk_;
  histogram latency_;
  histogram from_intended_;
  histogram tokens_each_;  // per second
  double waited_for_cap_s_ = 0;
  double waited_for_budget_s_ = 0;
  double in_flight_s_ = 0;
  timeline timeline_{{.series = 6, .shortest_step_s = 1, .begin_s = 0}};
  std::vector<told_request> slowest_;  // slowest first
  std::vector<told_request> failures_;
};

}  // namespace sluice::bench
