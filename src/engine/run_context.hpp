#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "async/sleeper.hpp"
#include "async/wait_queue.hpp"
#include "engine/crew.hpp"
#include "engine/failure_judge.hpp"
#include "engine/job_queue.hpp"
#include "engine/model_waits.hpp"
#include "engine/retry.hpp"
#include "engine/sink_writer.hpp"
#include "http/exchange_group.hpp"
#include "sluice/engine.hpp"
#include "upstream/relays.hpp"

namespace sluice {

/// The state that the workers of one run share: its queue, its workers, its sink, and its knowledge
/// about jobs and models. Not thread safe: use it on the event loop's thread, except job_queue's
/// reader side. The state of the relays is in upstream::relays, which all runs share.
class run_context final : public upstream::relays::user {
 public:
  /// `name`: the run's name in notices; `number`: the run's number, which varies its jitter. All
  /// references must outlive the run. `stopped` is called when the run stops before its end, before
  /// the source is cancelled; it may be empty.
  run_context(boost::asio::any_io_executor loop, const config& options, clock& time,
              upstream::relays& relays, request_source& source, result_sink& sink, std::string name,
              std::uint64_t number, observer* listener, run_limit* limit,
              std::function<void(const run_outcome&)> stopped);
  run_context(const run_context&) = delete;
  run_context& operator=(const run_context&) = delete;
  ~run_context() override;

  /// Stops the run; attempts in flight finish. Only the first reason is stored.
  void stop(run_outcome why);
  /// Stops the run because of a local error, for example a full disk. Attempts in flight finish;
  /// the sink keeps results that cannot be written.
  void fail(std::exception_ptr fault);
  bool stopping() const noexcept override {
    return outcome.reason != stop_reason::none || fault != nullptr;
  }
  /// Cancels the attempts in flight; call stop() first.
  void abort();

  /// Sends a notice of this run to the observer.
  void tell(severity level, const std::string& sentence) const;
  bool tells(severity level) const { return observer_ != nullptr && observer_->wants(level); }

  /// The request of the calling worker waits before its next attempt: another one may take its
  /// place. resume(): the wait is over.
  void rest();
  void resume();

  /// Waits until the budget allows an attempt of the request. False: the run has stopped.
  boost::asio::awaitable<bool> afford(const request& next);
  /// The reservation of an attempt was settled or released.
  void funds_freed() { poor_.wake_all(); }
  std::size_t waiting_for_budget() const noexcept { return poor_.size(); }
  std::size_t waiting_for_own_limit() {
    return own_turns ? limit->gate().now(*own_turns).waiting : 0;
  }
  std::size_t waiting_for_model() const noexcept { return models_.waiting(); }

  /// A request has succeeded; its attempt started at `started`.
  void succeeded(std::size_t relay, const request& item, time_point started);
  /// An attempt failed. Passes it on to the relays, which act on failures of a whole relay.
  relay_health::verdict failed(const start_gate::permit& turn, const request& item,
                               const failure& why, time_point started, unsigned refused_before);
  /// What a request may do now.
  enum class way : std::uint8_t {
    open,    ///< start an attempt
    trial,   ///< make the one trial of a model that is out, and report its end by model_…()
    barred,  ///< wait; wait_for_way() returns when this may have changed
    closed,  ///< stay pending: the run has stopped, or has given up the job or model
  };
  /// `sample`: number of the sample that the request belongs to (failure_judge); 0: none.
  way way_of(const request& next, unsigned sample);
  /// Sets `sample` to 0 if the request has left its sample, so that the sample does not wait for
  /// it.
  boost::asio::awaitable<void> wait_for_way(const request& next, unsigned& sample);
  /// Checks again after the wait at the gate. False: the request must wait after all.
  bool still_may_start(const request& next, unsigned sample, bool trial);
  /// The answers "no upstream for the model" that a request has got.
  struct model_refusals {
    std::vector<std::size_t> at;  ///< relays that refused it, since its last other failure
    unsigned at_all = 0;          ///< refusals when all relays in use had refused it
    std::uint64_t answers = 0;    ///< answers of the model in this job before the first of these
    unsigned again_there = 0;     ///< refusals by a relay that had refused it before
  };
  enum class refused_next : std::uint8_t {
    charge,     ///< a failure like others: the request uses up an attempt
    elsewhere,  ///< another relay may have the model
    wait,       ///< the model had answered in this job before: the request waits until it is back
  };
  /// A relay has no upstream for the model: what the request does next.
  refused_next model_refused(std::size_t relay, const request& item, bool trial, const failure& why,
                             model_refusals& before);
  /// An attempt showed that the model works; `served`: by a successful reply.
  void model_answered(const request& item, bool served, time_point started);
  void model_trial_wasted(const request& item);
  /// The request stays pending, and its trial was not made.
  void model_trial_unmade(const request& item);

  /// A request has failed finally: waits until the cause is decided. Sets `sample` to 0 if the
  /// request was counted in its sample.
  boost::asio::awaitable<failure_judge::fate> judge(std::size_t relay, const request& item,
                                                    const failure& why, unsigned& sample);

  /// Waits until the address is known to be right or wrong. The run stops if no request is left
  /// that could show it.
  boost::asio::awaitable<void> wait_for_address(std::size_t relay);

  const config& options;
  clock& time;
  upstream::relays& relays;
  start_gate::group turns;  ///< its attempts at the gate of the relays
  run_limit* const limit;   ///< its own limit, which other runs may share; null: none
  /// Its attempts at the gate of `limit`.
  std::optional<start_gate::group> own_turns;
  exchange_group exchanges;  ///< its exchanges in flight
  request_source& source;
  result_sink& sink;
  job_queue queue;
  crew workers;
  sink_writer writer;
  sleeper backoffs;
  retry_policy retries;
  run_outcome outcome;  ///< set by stop()
  /// The outcome when all workers are gone.
  run_outcome final_outcome() const;
  std::exception_ptr fault;

 private:
  void on_relays_ended(stop_reason reason, const std::string& message,
                       std::optional<double> again_at) override;
  void on_success(std::size_t relay, time_point started) override;
  void on_rest(std::size_t relay) override;
  void on_address_settled() override { suspects_.wake_all(); }
  void on_streams_off(std::size_t relay) override;
  void on_others_settled() override { check_suspects(); }
  bool waits_for_address() const noexcept override {
    return suspects_.size() + judge_.waiting() == in_hand_;
  }

  boost::asio::awaitable<void> work();
  boost::asio::awaitable<void> serve(request next, unsigned sample);
  boost::asio::awaitable<void> serve_sample(request next, unsigned sample);
  bool lacks_evidence() const;
  void check_suspects();
  void settle_suspects();
  void conclude(const failure_judge::row& in, const failure_judge::evidence& enough);
  void follow_outage(const std::string& model);
  void go_on_without(stop_reason why, std::string sentence, bool told);
  void meet_model(const request& next);

  boost::asio::any_io_executor loop_;
  const std::string name_;
  observer* observer_;
  const std::function<void(const run_outcome&)> stopped_;
  std::size_t in_hand_ = 0;  // requests taken from the queue that have no result yet
  wait_queue suspects_;      // requests that wait until the address is known to be right or wrong
  std::size_t suspected_relay_ = 0;
  std::set<std::size_t> served_by_;  // relays that have served a request of this run

  failure_judge judge_;
  std::set<std::size_t> given_up_jobs_;
  run_outcome deferred_;  // if it has given up a job or a model: the outcome when the rest is done
  model_waits models_;
  std::string first_model_;  // model of the first request
  bool several_models_ = false;
  wait_queue poor_;  // requests that wait for the budget
};

}  // namespace sluice
