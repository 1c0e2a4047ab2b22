#pragma once

#include <string>

#include "loadtest/benchmark.hpp"
#include "views/fitted_line.hpp"
#include "views/progress.hpp"

namespace sluice::cli {

/// The progress of a benchmark, as one line for a person.
std::string bench_progress(const bench::benchmark::status& now, const line_form& form = {});
/// The facts that long_wait needs.
progress_facts facts_of(const bench::benchmark::status& now);

}  // namespace sluice::cli
