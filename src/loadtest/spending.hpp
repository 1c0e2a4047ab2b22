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

/// What the requests of a benchmark cost, and what all of them together may: the rules are those of
/// a run. Not thread safe.
class spending {
 public:
  /// `tier`: the service tier of the accounts; empty: not known.
  spending(const relay_prices& prices, std::optional<usd> limit, std::string tier = {});

  /// Throws fatal_error where there is a limit and the request has no price, or no bound.
  void check(std::string_view relay, const request& asked) const;

  /// Asks for the most that the request may cost, and sets it.
  funds reserve(std::string_view relay, request& asked);
  void give_back(const request& asked);
  /// It is over: it cost so much, or, where that is not known, as much as it may.
  void settle(const request& asked, const std::optional<usd>& cost);
  /// It has no result: it cost as much as it may, or nothing, by how its attempt ended.
  void failed(const request& asked, attempt_end how);

  std::optional<usd> cost(std::string_view relay, const request& asked, const token_usage& used,
                          const serving& how) const;
  const std::optional<usd>& limit() const noexcept { return limit_; }
  /// Where those wait who were told to; woken whenever something is settled or given back.
  wait_queue& freed() noexcept { return freed_; }

 private:
  const relay_prices& prices_;
  const bound_defaults defaults_;
  std::optional<usd> limit_;
  std::optional<budget> money_;
  wait_queue freed_;
};

}  // namespace sluice::bench
