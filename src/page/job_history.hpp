#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/timeline.hpp"
#include "sluice/histogram.hpp"

namespace sluice {

struct stored_line;

/// Facts about a job from the lines of its output and errors files, in addition to its totals: its
/// timeline, the distribution of times, the slowest requests, and the failures. Takes the lines in
/// any order; its memory does not grow with their number. Not thread safe.
class job_history {
 public:
  static constexpr std::size_t most_slowest = 10;
  static constexpr std::size_t most_failures = 20;
  static constexpr std::size_t most_models = 64;  ///< models with their own times
  static constexpr std::size_t most_kinds = 64;   ///< kinds of failures with examples

  /// Adds a line of either file. A line that no run wrote is counted as unreadable.
  void add(std::string_view line);

  /// Adds its facts to `job`, as members that job_document() describes.
  void add_to(nlohmann::ordered_json& job) const;

 private:
  struct times {
    histogram latency_ms;
    histogram ttft_ms;
    histogram inter_token_ms;
  };
  struct slow_request {
    double latency_ms = 0;
    std::uint64_t line = 0;
    nlohmann::ordered_json told;
  };
  static bool is_slower(const slow_request& a, const slow_request& b);

  void add_request(const stored_line& one);
  void add_to_timeline(const stored_line& one);
  void add_times(times& sums, const stored_line& one);
  void keep_if_slow(const stored_line& one);
  void keep_failure(const stored_line& one);
  nlohmann::ordered_json timeline_document() const;
  nlohmann::ordered_json loads_document() const;
  nlohmann::ordered_json failures_document() const;

  std::uint64_t lines_ = 0;
  std::uint64_t unreadable_ = 0;
  std::uint64_t streamed_ = 0;
  std::uint64_t simulated_ = 0;
  std::optional<double> started_at_;
  std::optional<double> ended_at_;
  // The series of the timeline. The times are sums over the successes that started in a step.
  enum series : std::size_t {
    started,
    succeeded,
    failed,
    output_tokens,
    in_flight,  // seconds
    ttft_ms,
    ttfts,
    inter_token_ms,
    inter_tokens,
    series_count
  };
  timeline timeline_{{.series = series_count, .shortest_step_s = 0.5, .begin_s = {}}};
  times times_;
  std::map<std::string, times, std::less<>> models_;
  std::vector<slow_request> slowest_;  // a heap with the fastest one at the top
  struct failed_request {
    std::uint64_t number = 0;  // in the order in which they came
    nlohmann::ordered_json told;
  };
  std::map<std::string, std::deque<failed_request>> failures_;  // the last ones of each kind
  std::uint64_t failed_ = 0;
  std::map<std::string, std::string> reasons_;  // the first of each kind
};

/// A job, as the page of a report shows it:
///
/// {"job": its path, "as_of": when the totals were written, unix seconds,
///  "rpm": the limit of all its relays together, 0: none,
///  "totals": {…}                      the totals document, unchanged
///  "lines", "unreadable_lines",       of the output and errors files
///  "streamed", "simulated",           number of such lines
///  "started_at", "ended_at",          unix seconds or null: of the attempts in the lines
///  "latency_ms", "ttft_ms", "inter_token_ms":   of the successes, each null or
///      {"mean","p50","p90","p99","max","count"}; quantiles as in the totals.
///      inter_token_ms: (latency - ttft) / (completion tokens - 1) of a streamed request
///  "model_times": {MODEL: the same three},
///  "histograms": {the same three: [[value, count], …] ascending},
///  "timeline": {"started_at", "step_s", "started", "succeeded", "failed", "in_flight" (mean),
///      "output_tokens": [one value per step]}  by the last attempt of each request
///  "by_in_flight": [{"above", "up_to", "requests", "ttft_ms", "inter_token_ms" (means or null)}],
///  "reasons": {ERROR: an example message},
///  "slowest": [{"id","line","request_id","model","started_at","latency_ms","ttft_ms",
///      "completion_tokens","attempts"}],      of the successes, ≤ 10, the slowest first
///  "failures": [{"id","line","request_id","model","started_at","error","message","attempts"}]}
///      the last ones of each kind, ≤ 20, in the order of the files; unknown values are null
///
/// Pure.
nlohmann::ordered_json job_document(std::string_view job, const nlohmann::ordered_json& totals,
                                    const job_history& history, std::uint64_t rpm, double as_of);

}  // namespace sluice
