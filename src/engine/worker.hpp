#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/own_turn.hpp"
#include "engine/run_context.hpp"
#include "sluice/job.hpp"
#include "sluice/result.hpp"
#include "upstream/attempt_outcome.hpp"

namespace sluice {

/// Processes one request until it has a result: waits for its turn, makes an attempt, judges a
/// failure, tries again. Not thread safe: use it on the event loop's thread.
class worker {
 public:
  /// `sample`: number of the sample that the request belongs to (failure_judge); 0: none.
  worker(run_context& shared, request&& item, unsigned sample);
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;
  ~worker() { abandon_trial(); }
  /// Returns when the request has its result, or the run has stopped and it stays pending.
  boost::asio::awaitable<void> serve();
  /// After serve(): the request, if it has no result; null: it has one.
  const request* unfinished() const noexcept { return finished_ ? nullptr : &request_; }
  /// The sample that the request still belongs to.
  unsigned sample() const noexcept { return sample_; }

 private:
  struct head_watch;

  enum class next_step : std::uint8_t {
    again,    ///< make another attempt, after the backoff
    write,    ///< the failure is the result
    pending,  ///< nothing is written
  };
  attempt_record record() const;
  boost::asio::awaitable<attempt_outcome> make_attempt(start_gate::permit turn);
  /// Decides what to do after a failed attempt; sets the backoff before the next one.
  boost::asio::awaitable<next_step> follow(const start_gate::permit& turn, failure& why,
                                           duration& backoff);
  boost::asio::awaitable<next_step> follow_final(failure& why);
  bool follow_stream(const failure& why);
  void succeeded();
  bool was_rejected_for_good() const;
  void finish_rejected();
  bool rejects(attempt_outcome& outcome);
  void describe(result& finished, attempt_outcome&& outcome) const;
  void finish(attempt_outcome&& outcome);
  bool sends_unstreamed(std::size_t relay) const;
  void abandon_trial();

  run_context& run_;
  request request_;
  unsigned sample_;
  retry_policy::history past_;
  std::optional<std::size_t> unstreamed_at_;  // the next attempt at this relay is its trial
  run_context::model_refusals refusals_of_model_;
  bool model_trial_ = false;  // the next attempt is the trial of its model
  bool revoked_ = false;      // the sink does not allow its attempts to be sent
  bool lapsed_ = false;       // the last attempt lost its place in the shared limit
  bool finished_ = false;
  bool try_later_ = false;                // a later run should try it again
  std::uint32_t sent_ = 0;                // attempts in this run
  std::optional<std::size_t> failed_at_;  // relay of the last failure
  // The last attempt:
  std::size_t relay_ = 0;
  time_point started_{};
  time_point ended_{};  // the last needed byte arrived, or it failed
  double started_unix_ = 0;
  bool streamed_ = false;  // it asked for a stream
  std::optional<time_point> first_content_;
  std::optional<own_turn> own_turn_;  // its slot in the limit of the run, if there is one
};

}  // namespace sluice
