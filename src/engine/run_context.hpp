#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "async/naps.hpp"
#include "async/wait_queue.hpp"
#include "engine/failure_judge.hpp"
#include "engine/job_queue.hpp"
#include "engine/model_waits.hpp"
#include "engine/retry.hpp"
#include "http/http_client.hpp"
#include "sluice/engine.hpp"
#include "upstream/in_flight_limit.hpp"
#include "upstream/relay_health.hpp"
#include "upstream/secrets.hpp"
#include "upstream/served_places.hpp"
#include "upstream/start_gate.hpp"
#include "upstream/stream_support.hpp"
#include "upstream/token_estimate.hpp"

namespace sluice {

/// One relay of a run.
struct run_relay {
  run_relay(const relay_member& chosen, http_client& used, const relay_health::options& patience,
            std::size_t concurrency)
      : options(chosen),
        client(used),
        hidden(chosen.relay),
        health(patience),
        timely(concurrency) {}

  const relay_member& options;
  http_client& client;
  secrets hidden;
  relay_health health;
  in_flight_limit timely;  ///< so many it answers in good time
  served_places taken;     ///< so many it takes at once
  stream_support streams;
  bool served = false;      ///< it has answered a request of this run
  bool slower = false;      ///< it was said that it serves less than the limit
  bool late = false;        ///< it was said that its answers are, and fewer are in flight
  bool full = false;        ///< it was said that it refuses more than a few at once
  bool in_trouble = false;  ///< it was said that it serves one at a time
  bool resting = false;     ///< it gets nothing more, or not before `back_at`
  std::optional<time_point> back_at{};
  std::string rest_reason = {};
};

/// What the workers of one run share. Belongs to the event loop's thread but for the queue's other
/// end.
class run_context {
 public:
  static constexpr unsigned other_files = 64;  ///< that may be open beside the connections

  run_context(boost::asio::any_io_executor loop, const config& options, clock& time,
              const std::vector<relay_member>& relays, const std::vector<http_client*>& clients,
              start_gate& gate, request_source& source, result_sink& sink);
  run_context(const run_context&) = delete;
  run_context& operator=(const run_context&) = delete;
  ~run_context();

  /// Ends the run before its jobs: the first reason stands. Attempts in flight finish.
  void stop(stop_reason reason, std::string message);
  /// Ends it because of a fault here rather than at the relay. Attempts in flight finish, too: what
  /// cannot be written now is kept by the sink.
  void fail(std::exception_ptr fault);
  bool stopping() const noexcept { return outcome.reason != stop_reason::none || fault != nullptr; }

  /// Hands a result to the sink, and has it written as soon as what is ready now has been done,
  /// together with others.
  void put(result&& finished);
  /// Waits, where results must be durable, until those that were put are.
  boost::asio::awaitable<void> durable();

  /// Waits until the budget takes an attempt of the request. False: the run has stopped.
  boost::asio::awaitable<bool> afford(const request& next);
  /// What an attempt had reserved is settled, or given back.
  void funds_freed() { poor_.wake_all(); }
  /// Waits until what the sink recorded of an attempt is on the disk, together with others that
  /// wait for the same. False: it cannot be written, and the attempt must not go out.
  boost::asio::awaitable<bool> recorded();

  /// Waits until nothing that was given to the disk will call back.
  boost::asio::awaitable<void> disk_is_idle();

  /// An attempt ended; what it says of its relay as a whole is acted on here: the run stops, or, in
  /// a pool, the relay rests while the others go on.
  void answered(const start_gate::permit& turn, time_point started,
                bool streamed);  ///< a good reply's head
  void succeeded(std::size_t relay, const request& served, time_point started);
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
  /// The relay cannot stream, as a trial has shown: what failed for that is sent again.
  void streams_are_off(std::size_t relay);
  /// The relay cuts calls that are silent for so long.
  void advise_streams(std::size_t relay, duration after) const;

  /// Other relays than this one are at work.
  bool has_others(std::size_t relay) const noexcept;
  /// Every relay that is at work gets one attempt at a time.
  bool in_trouble() const noexcept;
  std::uint64_t successes() const noexcept { return successes_; }
  void abort_relays();

  /// A request waits for the address to be told right or wrong. The run stops when none is left
  /// that could tell.
  boost::asio::awaitable<void> wait_for_address(std::size_t relay);
  /// A request has ended or begun to wait: where only waiting ones are left, nothing more can tell
  /// whose failure it is.
  void check_suspects();

  // The crew: as many workers as there may be attempts in flight, and one more for each that waits
  // out a backoff, so that waiting takes no place from the others.
  void start_workers();
  void rest();    ///< the calling worker begins to wait out a backoff
  void resume();  ///< it is back
  bool too_many_workers() const noexcept { return workers_ - resting_ > wanted_workers_; }

  const config& options;
  clock& time;
  std::deque<run_relay> relays;  ///< in the order of the gate's lanes
  start_gate& gate;
  request_source& source;
  result_sink& sink;
  job_queue queue;
  naps backoffs;
  retry_policy retries;
  token_estimate tokens;
  run_outcome outcome;
  /// Of a run that goes on without a job or a model: how it ends when the rest is done.
  run_outcome deferred_outcome;
  std::exception_ptr fault;
  std::size_t requests_in_hand = 0;  ///< taken from the queue, without a result yet
  wait_queue all_done;               ///< woken when the last worker has ended

  std::size_t workers() const noexcept { return workers_; }

 private:
  // Attempts whose records, or results, go to the disk at one stroke.
  struct disk_batch {
    wait_queue waiting;
    bool done = false;
    bool failed = false;
  };

  void flush();
  void begin_record();
  std::function<void(std::exception_ptr)> end_of(std::shared_ptr<disk_batch> batch);
  void sync_soon();
  void follow_health(std::size_t relay);
  void follow_rate(run_relay& relay);
  void follow_in_flight(std::size_t relay, std::size_t in_flight, time_point started);
  void end_relay(std::size_t relay, const relay_health::verdict& verdict);
  void bring_back(std::size_t relay);
  std::size_t at_work() const noexcept;
  void add_worker();
  void enlist();
  void discharge();
  boost::asio::awaitable<void> work();
  boost::asio::awaitable<void> serve(request next, unsigned sample);
  boost::asio::awaitable<void> serve_sample(request next, unsigned sample);
  void conclude(const failure_judge::row& in, const failure_judge::evidence& enough);
  void follow_outage(const std::string& model);
  void go_on_without(stop_reason why, std::string sentence);
  void meet_model(const request& next);

  boost::asio::any_io_executor loop_;
  std::size_t wanted_workers_;
  std::size_t workers_ = 0;
  std::size_t resting_ = 0;
  wait_queue suspects_;
  std::size_t suspected_relay_ = 0;
  std::uint64_t successes_ = 0;

  failure_judge judge_;
  std::set<std::size_t> given_up_jobs_;
  model_waits models_;
  std::string first_model_;  // that a request asked for
  bool several_models_ = false;
  std::map<std::size_t, clock::timer> returns_;  // of relays that rest for a while
  std::shared_ptr<disk_batch> next_flush_;
  std::shared_ptr<disk_batch> last_durable_;  // of results, that is or was brought to the disk
  std::size_t disk_batches_ = 0;
  wait_queue disk_idle_;
  wait_queue poor_;  // requests that wait for money
  std::shared_ptr<disk_batch> next_record_;
  clock::timer sync_timer_ = 0;
};

}  // namespace sluice
