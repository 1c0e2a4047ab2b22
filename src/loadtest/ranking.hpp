#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace sluice::bench {

struct ranking_options {
  unsigned resamples = 2000;
  std::uint64_t seed = 1;
};

/// Ranks the targets of a benchmark by their speed: by the median time to the first token, or to
/// the end of the reply if nothing was streamed, under the last load that all of them answered.
/// Resampling of the histograms (resampling.hpp) shows whether a difference is certain: in 97.5 %
/// of the samples the fastest target is the faster one, compared with all others at once
/// (Bonferroni). A difference that is smaller than a step of the histograms, or with fewer than ten
/// requests, is never certain. Pure; the same document gives the same result.
///
/// The member `ranking` of the document, null if fewer than two targets answered:
///
///     {"sentence", "metric": "ttft_ms.p50" | "latency_ms.p50", "load", "confidence": 0.95,
///      "resamples", "targets": [{"target", "p50_ms", "requests", "failed",
///                                "times", "low", "high", "certain"}]}   the fastest first
///
/// `times`: the target's time divided by the time of the fastest one; null for the fastest itself.
/// Its interval is null if there are too few requests.
nlohmann::ordered_json rank_targets(const nlohmann::ordered_json& document,
                                    const ranking_options& chosen = {});

}  // namespace sluice::bench
