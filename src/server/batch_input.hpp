#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "money/cost_bound.hpp"
#include "sluice/config.hpp"
#include "sluice/endpoint.hpp"
#include "sluice/prices.hpp"
#include "store/batch_record.hpp"

namespace sluice::server {

/// The rules for the lines of a batch.
struct input_rules {
  endpoint target = endpoint::chat_completions;
  std::uint64_t most_lines = 50'000;
  std::uint64_t most_line_bytes = std::uint64_t{64} << 20;
  /// The prices, if the key has a budget. Then the highest cost of each request must be known.
  const relay_prices* bounded_by = nullptr;
  bound_defaults defaults = {};
  job_options lines = {};  ///< how lines become requests
  /// Returns whether the key may use a model.
  std::function<bool(std::string_view model)> may_use = [](std::string_view) { return true; };
};

struct checked_input {
  store::accepted_lines lines;
  /// The errors of the batch, at most 100. Empty if the batch is valid.
  std::vector<store::batch_error> errors;
};

/// Reads the input file of a batch and checks each line as OpenAI does. Memory: the longest line,
/// and 17 bytes per line. The result is small even if the lines are not: no error repeats a long
/// text of the client. Blocks. Throws fatal_error if the file cannot be read.
checked_input check_input(const std::string& path, const input_rules& rules);

}  // namespace sluice::server
