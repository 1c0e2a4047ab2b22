#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>

#include "attempt_outcome.hpp"
#include "run_context.hpp"
#include "sluice/job.hpp"
#include "sluice/result.hpp"

namespace sluice {

/// Carries one request to its result: turn, attempt, verdict, and again.
class worker {
 public:
  worker(run_context& shared, request&& taken);
  /// Returns when the request has its result, or the run has stopped and it stays pending.
  boost::asio::awaitable<void> serve();

 private:
  struct attempt;

  boost::asio::awaitable<attempt_outcome> make_attempt(start_gate::permit turn);
  void finish(attempt_outcome&& outcome);

  run_context& run_;
  request request_;
  const std::string idempotency_key_;
  retry_policy::history past_;
  std::uint32_t sent_ = 0;                // attempts of this run
  std::optional<std::size_t> failed_at_;  // the relay that failed it last
  // Of the last attempt:
  std::size_t relay_ = 0;
  time_point started_{};
  double started_unix_ = 0;
  std::optional<time_point> first_content_;
};

}  // namespace sluice
