#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::bench {

/// Compares two documents of `sluice bench --json`: what has changed for each load, and whether the
/// change is more than noise. The data is resampled (resampling.hpp): for requests and output
/// tokens per second the timelines, for latencies the histograms, for failures their share. A
/// change is reported if 97.5 % of the resampled changes have the same sign. Without a real change,
/// that happens in about one of twenty cases. A change of a latency by less than a step of the
/// histograms is never reported. A metric with too few samples, for example a p99 with fewer than
/// five values beyond it, is not judged.
///
/// All functions are pure. In a document, a member that is missing or null was not measured.

/// Parses an earlier document, from the file that was given to `flag`. Throws fatal_error if the
/// text is not such a document.
nlohmann::ordered_json parse_bench_document(std::string_view text, std::string_view flag,
                                            std::string_view file);

struct comparison_options {
  unsigned resamples = 2000;
  std::uint64_t seed = 1;
};

/// The member `comparison`:
///
///     {"sentence", "confidence": 0.95, "resamples", "notes": [sentence…],
///      "loads": [{"target": name | null, "concurrency", "rate", "rate_kind", "sentence",
///                 "metrics": [{"metric", "unit": "percent" | "points", "before", "after",
///                              "change", "low", "high", "samples": [before, after],
///                              "verdict"}]}],
///      "only_before": [load…], "only_after": [load…]}
///
/// `change`, `low` and `high` are null if they cannot be computed. Verdicts: "faster", "slower",
/// "fewer failures", "more failures", "no difference beyond the noise", "too few samples to tell".
/// Two loads are compared if they have the same concurrency, or the same rate and kind of rate, and
/// their targets have the same name, or the same position if they have no names.
nlohmann::ordered_json compare(const nlohmann::ordered_json& before,
                               const nlohmann::ordered_json& after,
                               const comparison_options& chosen = {});

/// The same for people, one line for each sentence. Names from the documents are made safe to show
/// on a terminal.
std::vector<std::string> comparison_lines(const nlohmann::ordered_json& comparison);

}  // namespace sluice::bench
