#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace sluice::bench {

struct ranking_options {
  unsigned resamples = 2000;
  std::uint64_t seed = 1;
};

/// Ranks the targets of a benchmark by how soon they answer: by the median time to the first token,
/// or to the end of the reply where nothing was streamed, under the last load that all of them
/// answered. Whether a difference is certain is found by resampling the histograms
/// (resampling.hpp): in 95 % of the samples the fastest target is the faster one, against all
/// others at once (Bonferroni). A difference below the step of the histograms is never certain, nor
/// is one of fewer than ten requests. Pure; the same document gives the same result.
///
/// The member `ranking` of the document, null where fewer than two targets answered:
///
///     {"sentence", "metric": "ttft_ms.p50" | "latency_ms.p50", "load", "confidence": 0.95,
///      "resamples", "targets": [{"target", "p50_ms", "requests", "failed",
///                                "times", "low", "high", "certain"}]}   the fastest first
///
/// `times`: how long it takes by the time of the fastest; null for the fastest itself, and its
/// interval where there are too few requests.
nlohmann::ordered_json rank_targets(const nlohmann::ordered_json& document,
                                    const ranking_options& chosen = {});

}  // namespace sluice::bench
