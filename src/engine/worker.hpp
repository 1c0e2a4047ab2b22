#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/run_context.hpp"
#include "sluice/job.hpp"
#include "sluice/result.hpp"
#include "upstream/attempt_outcome.hpp"

namespace sluice {

/// Carries one request to its result: turn, attempt, verdict, and again.
class worker {
 public:
  /// `sample`: the one that the request belongs to (failure_judge); 0: none.
  worker(run_context& shared, request&& taken, unsigned sample);
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;
  ~worker() { abandon_trial(); }
  /// Returns when the request has its result, or the run has stopped and it stays pending.
  boost::asio::awaitable<void> serve();
  /// The sample that it still belongs to.
  unsigned sample() const noexcept { return sample_; }

 private:
  struct head_watch;

  enum class next_step : std::uint8_t {
    again,    ///< another attempt, as soon as it may start, and after its backoff
    write,    ///< the failure is the result
    pending,  ///< nothing is written
  };
  boost::asio::awaitable<attempt_outcome> make_attempt(start_gate::permit turn);
  /// What follows on a failed attempt; sets the backoff before another one.
  boost::asio::awaitable<next_step> follow(const start_gate::permit& turn, failure& why,
                                           duration& backoff);
  boost::asio::awaitable<next_step> follow_final(failure& why);
  bool follow_stream(const failure& why);
  void succeeded();
  void finish(attempt_outcome&& outcome);
  bool sends_unstreamed(std::size_t relay) const;
  void abandon_trial();

  run_context& run_;
  request request_;
  unsigned sample_;
  retry_policy::history past_;
  std::optional<std::size_t> unstreamed_at_;  // its next attempt there is that relay's trial
  run_context::model_refusals refusals_of_model_;
  bool model_trial_ = false;              // its next attempt is its model's trial
  bool try_later_ = false;                // its failure is no last word
  std::uint32_t sent_ = 0;                // attempts of this run
  std::optional<std::size_t> failed_at_;  // the relay that failed it last
  // Of the last attempt:
  std::size_t relay_ = 0;
  time_point started_{};
  double started_unix_ = 0;
  bool streamed_ = false;  // a stream was asked for
  std::optional<time_point> first_content_;
};

}  // namespace sluice
