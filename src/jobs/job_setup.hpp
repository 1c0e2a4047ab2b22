#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "files/file_system.hpp"
#include "jobs/job_files.hpp"
#include "money/budget.hpp"
#include "sluice/config.hpp"
#include "sluice/prices.hpp"

namespace sluice {

/// The settings with which one job is run. A plain value; the objects that it refers to must
/// outlive every copy.
struct job_setup {
  std::size_t index = 0;  ///< among the jobs of the command
  job_files files;
  const job_options& lines;
  const output_options& output;
  const relay_prices& prices;
  file_system& disk;
  budget* shared = nullptr;  ///< shared by all jobs of the command; null: there is no budget
  std::uint64_t room = 0;    ///< bytes to keep free on the disk for results
  /// Receives a sentence for the user; the job continues.
  std::function<void(const std::string& sentence)> warn;

  bool is_on_standard_input() const noexcept { return files.job == "-"; }
  /// The job in a sentence for the user.
  std::string job_name() const { return is_on_standard_input() ? "standard input" : files.job; }
  /// Whether the amounts that earlier runs spent count for the budget.
  bool counts_earlier_runs() const noexcept {
    return shared != nullptr && output.scope == budget_scope::job;
  }
};

}  // namespace sluice
