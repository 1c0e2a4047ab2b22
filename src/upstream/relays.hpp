#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "http/http_client.hpp"
#include "sluice/clock.hpp"
#include "sluice/config.hpp"
#include "sluice/error.hpp"
#include "sluice/live_limits.hpp"
#include "sluice/observer.hpp"
#include "upstream/adaptive_concurrency.hpp"
#include "upstream/latency_limit.hpp"
#include "upstream/private_windows.hpp"
#include "upstream/relay_health.hpp"
#include "upstream/secrets.hpp"
#include "upstream/start_gate.hpp"
#include "upstream/stream_support.hpp"
#include "upstream/token_estimate.hpp"

namespace sluice::upstream {

/// One relay and its state. Not thread safe: use it on the event loop's thread.
struct relay {
  relay(relay_member member, http_client& http, const relay_health::options& patience,
        std::size_t concurrency)
      : options(std::move(member)),
        client(http),
        hidden(options.relay),
        health(patience),
        latency_cap(concurrency),
        requests_per_minute(patience.requests_per_minute) {}

  const relay_member options;
  http_client& client;
  secrets hidden;
  relay_health health;
  latency_limit latency_cap;         ///< concurrency limit that keeps the answers fast enough
  adaptive_concurrency refusal_cap;  ///< concurrency limit of the relay, found from refusals
  stream_support streams;
  unsigned requests_per_minute;  ///< its configured limit; 0: none
  bool resting = false;          ///< it gets no requests, forever or until `back_at`
  std::optional<time_point> back_at{};
  std::string rest_reason = {};
  /// The longest pause of its key that this process began.
  struct {
    time_point until{};
    int http_status = 0;  ///< of the failure; 0: it had none
    duration asked{};     ///< the wait that the relay asked for; zero: it asked for none
  } pause = {};

  /// Problems that were reported to the observer, and whose end was not reported yet.
  struct {
    bool slower = false;      ///< it serves less than the configured limit
    bool late = false;        ///< its answers are late, so fewer attempts are in flight
    bool full = false;        ///< it has a concurrency limit
    bool in_trouble = false;  ///< it gets one attempt at a time
  } reported;
};

/// The relays and their state: connections, rate limit, health, adaptive rates, token estimates.
/// Not thread safe: relays and runs belong to the event loop's thread.
///
/// It outlives the runs and serves several at once: they share one limit and one state. Other
/// threads and processes share only the limit, through the files in `pace.limit_folder`
/// (limit_store).
class relays {
 public:
  static constexpr unsigned other_files = 64;  ///< files that may be open besides connections

  /// A run that uses the relays and receives their events.
  class user {
   public:
    virtual ~user() = default;
    /// The run sends nothing new.
    virtual bool stopping() const noexcept = 0;
    /// Whether it has requests now. One that has none does not keep the problems of earlier runs.
    virtual bool at_work() const noexcept { return true; }
    /// All its current requests wait until other requests show what caused a failure.
    virtual bool waits_for_address() const noexcept = 0;
    /// No relay is left, so the run must stop. `again_at`: when a relay accepts requests again;
    /// Unix time.
    virtual void on_relays_ended(stop_reason reason, const std::string& message,
                                 std::optional<double> again_at) = 0;
    /// A request of any run succeeded at the relay; its attempt started at `started`.
    virtual void on_success(std::size_t relay, time_point started) = 0;
    /// The relay gets no more requests, for a while or forever; other relays take them over.
    virtual void on_rest(std::size_t relay) = 0;
    /// Requests that wait for the address can continue: it is right, or each request must find out
    /// on its own.
    virtual void on_address_settled() = 0;
    /// A trial showed that the relay cannot stream: send requests that failed for this again.
    virtual void on_streams_off(std::size_t relay) = 0;
    /// A streaming trial is over, or another run has ended: do not wait for it any longer.
    virtual void on_others_settled() = 0;
  };

  /// `clients`: one for each member; empty: real ones are created. `listener` may be null. All
  /// references must outlive this.
  relays(boost::asio::io_context& context, clock& time, const std::vector<relay_member>& members,
         const pace_options& pace, const std::vector<http_client*>& clients, observer* listener);
  ~relays();
  relays(const relays&) = delete;
  relays& operator=(const relays&) = delete;

  /// A run begins. Resting relays are used again, except those that asked to wait until a certain
  /// time. If no other run is active, or no relay is left, earlier problems are forgotten.
  void join(user& run);
  /// Called if no relay is left: a user that has not ended tries the relays again.
  void try_again();
  /// A run has ended. After the last run, idle connections are closed, so that the event loop can
  /// end. A caller that wants to keep them open must be a user itself.
  void leave(user& run) noexcept;
  /// A run sends nothing new from now on.
  void stopped() noexcept;

  std::size_t size() const noexcept { return relays_.size(); }
  relay& operator[](std::size_t index) noexcept { return relays_[index]; }
  const relay& operator[](std::size_t index) const noexcept { return relays_[index]; }
  start_gate& gate() noexcept { return *gate_; }
  const token_estimate& tokens() const noexcept { return tokens_; }
  /// Number of successful requests of all runs.
  std::uint64_t successes() const noexcept { return successes_; }
  /// The sum of the limits of all windows; 0: one has no limit.
  unsigned requests_per_minute() const noexcept;
  /// Windows that cannot be shared with other processes are those of all threads that have
  /// `threads`. Call it before the first run.
  void fall_back_to(const std::shared_ptr<private_windows>& threads);
  live_limits limits() const;
  /// Sets other limits. Attempts in flight continue.
  void set_limits(const live_limits& fresh);

  /// The head of a successful reply arrived; `streamed`: the request asked for a stream.
  void answered(const start_gate::permit& turn, time_point started, bool streamed);
  /// A request has succeeded.
  void succeeded(std::size_t relay, time_point started);
  /// An attempt failed. Slows down, pauses or ends the relay if the failure concerns the relay as a
  /// whole. `model`: the requested model; `several`: the run uses other models too;
  /// `refused_before`: how often the same request was throttled before.
  relay_health::verdict failed(const start_gate::permit& turn, std::string_view model, bool several,
                               const failure& why, time_point started, unsigned refused_before);
  /// Learns the token count of a reply, for later estimates.
  void learn(const token_usage& used, unsigned choices) { tokens_.learn(used, choices); }
  /// The relay gets no more requests. If it was the last one, every run stops.
  void end(std::size_t relay, const relay_health::verdict& verdict);
  /// All current requests of a run wait for the relay's address to be confirmed. If this is true
  /// for all runs, the address counts as wrong, or each request must find out on its own.
  void only_suspects_left(std::size_t relay);
  /// The relay does not answer streamed requests.
  void streams_are_off(std::size_t relay);
  /// A streaming trial ended without showing that the relay cannot stream.
  void stream_trial_over();
  bool stream_trial_on() const noexcept;
  /// The relay cuts off requests that are silent for `after`. The user is advised to stream.
  void advise_streams(std::size_t relay, duration after);

  /// A user that continues has no requests any more, so other users must not wait for them.
  void settled();

  /// Whether other relays are in use.
  bool has_others(std::size_t relay) const noexcept;
  /// Whether every relay in use gets only one attempt at a time.
  bool in_trouble() const noexcept;

  /// Ends every active exchange at once, as broken.
  void abort();

  /// The relay's name for messages; without a pool: "the relay".
  std::string title(std::size_t relay) const;
  /// The beginning of a message about it, "relay NAME: "; empty without a pool.
  std::string prefix(std::size_t relay) const;

 private:
  void follow_health(std::size_t relay);
  void follow_rate(std::size_t relay);
  struct in_flight_caps {
    std::size_t by_refusals = 0;  // 0: none
    std::size_t by_latency = 0;
  };
  in_flight_caps apply_caps(std::size_t relay, time_point now);
  void follow_in_flight(std::size_t relay, std::size_t in_flight, time_point started,
                        time_point now);
  void paused_by_others(std::size_t relay, time_point until);
  void end_all(std::size_t last, const relay_health::verdict& verdict);
  void bring_back(std::size_t relay);
  void start_new_run(bool forget);
  void cancel_returns() noexcept;
  bool is_idle() const noexcept;
  std::size_t at_work() const noexcept;
  void tell(severity level, const std::string& sentence) const;

  clock& time_;
  pace_options pace_;
  observer* observer_;
  std::vector<std::unique_ptr<http_client>> own_clients_;
  std::vector<std::unique_ptr<limit_store>> stores_;
  std::vector<unsigned> limits_;      // requests per minute of each window
  std::vector<std::size_t> windows_;  // of each relay
  std::unique_ptr<start_gate> gate_;
  std::deque<relay> relays_;  // in the order of the gate's lanes
  token_estimate tokens_;
  std::uint64_t successes_ = 0;
  std::mt19937_64 random_;
  std::vector<user*> users_;
  bool ended_ = false;                           // no relay is left, and no run has begun since
  std::map<std::size_t, clock::timer> returns_;  // end of a relay's rest
};

/// The maximum number of attempts in flight: --concurrency, or if that is 0, a number that fits
/// into the process's limit of open files.
std::size_t most_in_flight(const pace_options& pace);

}  // namespace sluice::upstream
