#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/inquiry.hpp"
#include "cli/settings/setting.hpp"
#include "loadtest/load.hpp"
#include "loadtest/load_plan.hpp"
#include "sluice/money.hpp"

namespace sluice::cli {

/// What `sluice bench` can be told.
struct bench_settings {
  bench_settings();

  inquiry_settings inquiry;
  std::vector<std::string> jobs;
  std::string model;
  std::vector<std::string> targets;  ///< NAME=URL, or the NAME of a [[relay]]
  std::vector<unsigned> concurrency;
  std::vector<double> rates;  ///< starts a minute
  bench::arrival_kind arrivals = bench::arrival_kind::even;
  bool sweep = false;
  std::uint64_t requests = 0;  ///< of each load; 0: not said
  duration time{};             ///< of each load; 0: not said
  std::uint64_t warmup = 0;
  std::uint64_t prompt_tokens = 64;
  std::int64_t max_tokens = 64;
  bool lengths_given = false;  ///< of prompts or replies
  bool find_limit = false;
  unsigned ceiling = 600;  ///< of the search: starts in any 60 s
  std::optional<usd> budget;
  std::string html;     ///< the page's file; empty: none
  std::string compare;  ///< the file of an earlier document; empty: none
};

/// The flag table of `sluice bench`; each entry writes into `target`, which must outlive it.
std::vector<setting> bench_flags(bench_settings& target);

/// The loads that the settings ask for. Throws fatal_error where they contradict each other.
bench::load_plan plan_of(const bench_settings& chosen);

/// Makes `--target`s the pool to be measured: those of the config file by their names, others with
/// the key of NAME_API_KEY, or that of the run. Throws fatal_error.
void use_targets(bench_settings& chosen);

}  // namespace sluice::cli
