#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <exception>
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

/// What the workers of one run share, and no other run does: its queue, its crew, its way to the
/// sink, and what it knows of its jobs and models. What is known of the relays is theirs
/// (upstream::relays). Belongs to the event loop's thread but for the queue's other end.
class run_context final : public upstream::relays::user {
 public:
  /// `name` stands in notices; `number`: of the run, for backoffs of its own. Everything given by
  /// reference outlives the run.
  run_context(boost::asio::any_io_executor loop, const config& options, clock& time,
              upstream::relays& relays, request_source& source, result_sink& sink, std::string name,
              std::uint64_t number, observer* listener);
  run_context(const run_context&) = delete;
  run_context& operator=(const run_context&) = delete;
  ~run_context() override;

  /// Ends the run before its jobs: the first reason stands. Attempts in flight finish.
  void stop(stop_reason reason, std::string message);
  /// Ends it because of a fault here rather than at the relay. Attempts in flight finish, too: what
  /// cannot be written now is kept by the sink.
  void fail(std::exception_ptr fault);
  bool stopping() const noexcept override {
    return outcome.reason != stop_reason::none || fault != nullptr;
  }
  /// Ends the attempts in flight, too.
  void abort();

  /// Says what happens in this run.
  void tell(severity level, const std::string& sentence) const;
  bool tells(severity level) const { return observer_ != nullptr && observer_->wants(level); }

  /// Waits until the budget takes an attempt of the request. False: the run has stopped.
  boost::asio::awaitable<bool> afford(const request& next);
  /// What an attempt had reserved is settled, or given back.
  void funds_freed() { poor_.wake_all(); }

  /// A request has succeeded by an attempt that started then.
  void succeeded(std::size_t relay, const request& served, time_point started);
  /// An attempt ended; what it says of its relay as a whole is acted on by the relays.
  relay_health::verdict failed(const start_gate::permit& turn, const request& asked,
                               const failure& why, time_point started, unsigned refused_before);
  /// What a request may do now.
  enum class way : std::uint8_t {
    open,
    trial,   ///< its model is out: this is the one trial, and how it ends is told by model_…()
    barred,  ///< wait_for_way() returns when that may have changed
    closed,  ///< it stays pending: the run has stopped, or goes on without its job or its model
  };
  /// `sample`: the one that the request belongs to (failure_judge); 0: none.
  way way_of(const request& next, unsigned sample);
  /// `sample` is 0 afterwards where the request has left it, so that no other waits for it.
  boost::asio::awaitable<void> wait_for_way(const request& next, unsigned& sample);
  /// The same for a request that has its turn now: false: it must wait after all.
  bool still_may_start(const request& next, unsigned sample, bool trial);
  /// What a request has met of relays that have no upstream for its model.
  struct model_refusals {
    std::vector<std::size_t> at;  ///< the relays, since something else came
    unsigned count = 0;
    std::uint64_t answers = 0;  ///< of the model in this job, as it refused first
  };
  /// A relay has no upstream for the model. True: the model had answered in this job before, and
  /// another attempt costs the request nothing: at another member of a pool, or when the model is
  /// back, which it waits for once every member at work has refused.
  bool model_refused(std::size_t relay, const request& asked, bool trial, const failure& why,
                     model_refusals& before);
  /// An attempt shows that the model is there; `served`: by a good reply.
  void model_answered(const request& asked, bool served, time_point started);
  void model_trial_wasted(const request& asked);

  /// A request has failed for good: waits until it is known whose failure it is. `sample` is 0
  /// afterwards where that has been told of its sample.
  boost::asio::awaitable<failure_judge::fate> judge(std::size_t relay, const request& asked,
                                                    const failure& why, unsigned& sample);

  /// A request waits until the address has been shown to be right or wrong. The run stops when none
  /// is left that could show it.
  boost::asio::awaitable<void> wait_for_address(std::size_t relay);

  const config& options;
  clock& time;
  upstream::relays& relays;
  start_gate::group turns;   ///< its attempts, at the relays' gate
  exchange_group exchanges;  ///< and on their way
  request_source& source;
  result_sink& sink;
  job_queue queue;
  crew workers;
  sink_writer writer;
  sleeper backoffs;
  retry_policy retries;
  run_outcome outcome;
  /// Of a run that goes on without a job or a model: how it ends when the rest is done.
  run_outcome deferred_outcome;
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
  void check_suspects();
  void conclude(const failure_judge::row& in, const failure_judge::evidence& enough);
  void follow_outage(const std::string& model);
  void go_on_without(stop_reason why, std::string sentence);
  void meet_model(const request& next);

  boost::asio::any_io_executor loop_;
  const std::string name_;
  observer* observer_;
  std::size_t in_hand_ = 0;  // requests taken from the queue, without a result yet
  wait_queue suspects_;      // requests that wait for the address to be shown right or wrong
  std::size_t suspected_relay_ = 0;
  std::set<std::size_t> served_by_;  // relays that have answered a request of this run

  failure_judge judge_;
  std::set<std::size_t> given_up_jobs_;
  model_waits models_;
  std::string first_model_;  // that a request asked for
  bool several_models_ = false;
  wait_queue poor_;  // requests that wait for money
};

}  // namespace sluice
