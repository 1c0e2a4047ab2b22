#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sluice/money.hpp"
#include "sluice/prices.hpp"

namespace sluice {

/// The cost of results at the prices of their run, and at other prices.
struct repriced_results {
  std::uint64_t requests = 0;
  std::uint64_t without_old = 0;  ///< results whose line has no cost
  std::uint64_t without_new = 0;  ///< results that have no price now, or no usage
  std::optional<usd> old_cost;    ///< the cost in the lines; nothing: no line has one
  std::optional<usd> new_cost;    ///< nothing: no result has a price
  /// The new cost minus the old cost, over the results that have both; nothing: no result has both.
  std::optional<usd> difference;

  void add(const std::optional<usd>& old_one, const std::optional<usd>& new_one);
  repriced_results& operator+=(const repriced_results& other);
};

/// Results of one model that have no cost now, for one reason.
struct unpriced_results {
  struct name {
    std::uint64_t line = 0;  ///< the job line at the time when the request was sent
    std::string custom_id;
  };
  std::uint64_t requests = 0;
  std::vector<name> first;  ///< in the order of the output
};

struct job_reprice {
  std::map<std::string, repriced_results> models;
  repriced_results total;
  /// By model and reason: "price", "usage", or the name of a rate that the price list lacks.
  std::map<std::pair<std::string, std::string>, unpriced_results> unpriced;
  std::uint64_t unreadable_lines = 0;  ///< damaged, or still being written
};

/// Computes the cost of each request again from the facts in its line: usage, tier, times and relay
/// of the reply and of rejected replies. A request that failed counts if it has rejected replies.
/// Reads each file once and changes nothing. There may be no errors file. Names the first
/// `most_named` requests without a cost for each reason. Throws fatal_error if a file cannot be
/// read.
job_reprice reprice_job(const std::string& output_path, const std::string& errors_path,
                        const relay_prices& prices, std::size_t most_named);

}  // namespace sluice
