#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/language.hpp"

namespace sluice::cli {

/// The effect of the provider's cache on a job.
struct cache_use {
  std::uint64_t read = 0;            ///< tokens of prompts
  std::uint64_t written = 0;         ///< tokens of prompts
  std::optional<double> read_share;  ///< of the prompts' tokens, from 0 to 1
  /// A decimal in US dollars, below zero if the writes cost more than the reads saved; empty:
  /// unknown.
  std::string saved;
};

/// Text for people: "1,200 tokens read (40.0 % of the prompts), 500 written; saved $0.0015". Empty
/// if nothing was read or written.
std::string cache_text(const cache_use& cache, language spoken = language::english);

}  // namespace sluice::cli
