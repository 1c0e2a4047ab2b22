#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/relay_query.hpp"
#include "loadtest/load.hpp"
#include "loadtest/load_plan.hpp"
#include "settings/setting.hpp"
#include "sluice/money.hpp"

namespace sluice::cli {

/// The settings of `sluice bench`.
struct bench_settings {
  bench_settings();

  query_settings query;
  std::vector<std::string> jobs;
  std::string model;
  /// Each is NAME=URL, or the NAME of a [[relay]] table.
  std::vector<std::string> targets;
  std::vector<unsigned> concurrency;
  /// Starts per minute.
  std::vector<double> rates;
  bench::arrival_kind arrivals = bench::arrival_kind::even;
  bool sweep = false;
  /// Requests of each load; 0: not given.
  std::uint64_t requests = 0;
  /// Duration of each load; 0: not given.
  duration time{};
  std::uint64_t warmup = 0;
  std::uint64_t prompt_tokens = 64;
  std::int64_t max_tokens = 64;
  /// The user set the length of prompts or replies.
  bool lengths_given = false;
  bool find_limit = false;
  /// The search for the limit starts at most this many requests in any 60 s.
  unsigned ceiling = 600;
  std::optional<usd> budget;
  /// File of the HTML page; empty: none.
  std::string html;
  /// File of an earlier document to compare with; empty: none.
  std::string compare;
};

/// The flag table of `sluice bench`. Each entry writes into `target`, which must outlive it.
std::vector<setting> bench_flags(bench_settings& target);

/// The loads that the settings describe. Throws fatal_error if the settings contradict each other.
bench::load_plan plan_of(const bench_settings& chosen);

/// Makes the targets of --target the pool to measure. A target that is in the config file has the
/// settings from there. Any other target uses the key in the variable NAME_API_KEY, or else the key
/// of the run. Throws fatal_error.
void use_targets(bench_settings& chosen);

}  // namespace sluice::cli
