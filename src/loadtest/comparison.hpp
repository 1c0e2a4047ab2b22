#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::bench {

/// Two documents of `sluice bench --json` held against each other: what has changed at each load,
/// and whether that is more than noise. For requests and output tokens a second the timelines are
/// drawn anew, for latencies the histograms, for failures their share (resampling.hpp); a change is
/// called one where 95 % of the changes drawn so lie on one side of none, which without any change
/// happens in about one of twenty. A change of a latency by less than the histograms' steps is
/// never called one. What has too few samples, as a p99 with less than five beyond it, isn't
/// judged.
///
/// All of it is pure. Documents are taken as they are: a member that is missing or null is one that
/// was not measured.

/// An earlier document, from the file that was given to `flag`. Throws fatal_error where the text
/// is none.
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
/// `change`, `low` and `high` are null where it can't be told. Verdicts: "faster", "slower",
/// "fewer failures", "more failures", "no difference beyond the noise", "too few samples to tell".
/// Loads are those of the same concurrency, or the same rate and kind of rate, at targets of the
/// same name, or in the same place where they have none.
nlohmann::ordered_json compare(const nlohmann::ordered_json& before,
                               const nlohmann::ordered_json& after,
                               const comparison_options& chosen = {});

/// The same for a person, one line each; names from the documents are made fit for a screen.
std::vector<std::string> comparison_lines(const nlohmann::ordered_json& comparison);

}  // namespace sluice::bench
