#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "async/wait_queue.hpp"
#include "money/budget.hpp"
#include "money/cost_bound.hpp"
#include "sluice/job.hpp"
#include "sluice/prices.hpp"
#include "sluice/result_sink.hpp"
#include "sluice/usage.hpp"

namespace sluice::bench {

/// The costs of a benchmark's requests, and the budget for all of them, with the same rules as in a
/// run. Not thread safe.
class spending {
 public:
  /// `tier`: the service tier of the accounts; empty: not known.
  spending(const relay_prices& prices, std::optional<usd> limit, std::string tier = {});

  /// Throws fatal_error if there is a budget and the request has no price, or no highest cost.
  void check(std::string_view relay, const request& asked) const;

  /// Computes the highest cost of the request, stores it in the request, and reserves it.
  funds reserve(std::string_view relay, request& asked);
  void give_back(const request& asked);
  /// The request is over. `cost`: its cost; if it is unknown, the highest cost is used.
  void settle(const request& asked, const std::optional<usd>& cost);
  /// The request has no result. It cost its highest cost or nothing, depending on how its attempt
  /// ended.
  void failed(const request& asked, attempt_end how);

  std::optional<usd> cost(std::string_view relay, const request& asked, const token_usage& used,
                          const serving& how) const;
  const std::optional<usd>& limit() const noexcept { return limit_; }
  /// The queue of requests that wait for the budget. It is woken whenever something is settled or
  /// given back.
  wait_queue& freed() noexcept { return freed_; }

 private:
  const relay_prices& prices_;
  const bound_defaults defaults_;
  std::optional<usd> limit_;
  std::optional<budget> money_;
  wait_queue freed_;
};

}  // namespace sluice::bench
