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
#include "sluice/observer.hpp"
#include "upstream/adaptive_concurrency.hpp"
#include "upstream/latency_limit.hpp"
#include "upstream/relay_health.hpp"
#include "upstream/secrets.hpp"
#include "upstream/start_gate.hpp"
#include "upstream/stream_support.hpp"
#include "upstream/token_estimate.hpp"

namespace sluice::upstream {

/// One relay, and what is known of it.
struct relay {
  relay(relay_member chosen, http_client& used, const relay_health::options& patience,
        std::size_t concurrency)
      : options(std::move(chosen)),
        client(used),
        hidden(options.relay),
        health(patience),
        timely(concurrency) {}

  const relay_member options;
  http_client& client;
  secrets hidden;
  relay_health health;
  latency_limit timely;        ///< how many at once it answers in good time
  adaptive_concurrency taken;  ///< how many at once it takes
  stream_support streams;
  bool resting = false;  ///< it gets nothing more, or not before `back_at`
  std::optional<time_point> back_at{};
  std::string rest_reason = {};

  /// What the observer was told of it, and not yet that it is over.
  struct {
    bool slower = false;      ///< it serves less than the limit
    bool late = false;        ///< its answers are late, and fewer are in flight
    bool full = false;        ///< it refuses more than a few at once
    bool in_trouble = false;  ///< it gets one attempt at a time
  } reported;
};

/// The relays that runs send to, and all that is known of them: connections, rate limit, health,
/// adaptive rates, how many tokens requests take. Outlives the runs, and serves several at once:
/// they share one limit, and what one of them learns holds for all.
///
/// Not thread safe: everything belongs to the event loop's thread, runs included. Threads, and
/// other processes, share the limit alone: by the files in `pace.limit_folder` (limit_store).
class relays {
 public:
  static constexpr unsigned other_files = 64;  ///< that may be open beside the connections

  /// A run that sends through the relays, and hears what concerns it.
  class user {
   public:
    virtual ~user() = default;
    /// It sends nothing new any more.
    virtual bool stopping() const noexcept = 0;
    /// All that it has in hand waits for others to show whose fault a failure is.
    virtual bool waits_for_address() const noexcept = 0;
    /// No relay is left to send to: the run stops. `again_at`: when a relay wants to be asked
    /// again, in seconds since the epoch.
    virtual void on_relays_ended(stop_reason reason, const std::string& message,
                                 std::optional<double> again_at) = 0;
    /// A request, of any run, succeeded at the relay, by an attempt that started then.
    virtual void on_success(std::size_t relay, time_point started) = 0;
    /// The relay gets nothing more, or not for a while; others take what it was sent.
    virtual void on_rest(std::size_t relay) = 0;
    /// Requests that wait for the address can go on: it has turned out to be right, or each of them
    /// is to find out for itself.
    virtual void on_address_settled() = 0;
    /// The relay cannot stream, as a trial has shown: what failed for that is sent again.
    virtual void on_streams_off(std::size_t relay) = 0;
    /// What another run may have shown, and does not any more: a trial of streams is over, or that
    /// run has ended.
    virtual void on_others_settled() = 0;
  };

  /// `clients`: one for each member, which outlive this; none: real ones are made. `seen_by` may be
  /// null. Everything given by reference outlives this.
  relays(boost::asio::io_context& context, clock& time, const std::vector<relay_member>& members,
         const pace_options& pace, const std::vector<http_client*>& clients, observer* seen_by);
  ~relays();
  relays(const relays&) = delete;
  relays& operator=(const relays&) = delete;

  /// A run begins. Relays that rest are asked again, but for those that named a moment to come
  /// back. Where no other run is under way, or all relays have ended, old trouble is forgotten.
  void join(user& begun);
  /// A run has ended. With the last, idle connections are closed, so that an event loop with
  /// nothing else to do ends. Whoever wants them kept stays a user itself.
  void leave(user& ended) noexcept;
  /// A run sends nothing new any more.
  void stopped() noexcept;

  std::size_t size() const noexcept { return relays_.size(); }
  relay& operator[](std::size_t index) noexcept { return relays_[index]; }
  const relay& operator[](std::size_t index) const noexcept { return relays_[index]; }
  start_gate& gate() noexcept { return *gate_; }
  const token_estimate& tokens() const noexcept { return tokens_; }
  /// Requests that have succeeded so far, of all runs.
  std::uint64_t successes() const noexcept { return successes_; }
  /// The limits of all windows together; 0: one has none.
  unsigned requests_per_minute() const noexcept;

  /// An attempt brought the head of a good reply; `streamed`: a stream was asked for.
  void answered(const start_gate::permit& turn, time_point started, bool streamed);
  /// A request has succeeded.
  void succeeded(std::size_t relay, time_point started);
  /// An attempt has failed. What that says of the relay as a whole is acted on here: it is slowed
  /// down, paused, or ended. `model`: what the request asked for; `several`: its run asks for
  /// others, too; `refused_before`: how often the same request was throttled already.
  relay_health::verdict failed(const start_gate::permit& turn, std::string_view model, bool several,
                               const failure& why, time_point started, unsigned refused_before);
  /// A reply told what it took.
  void learn(const token_usage& used, unsigned choices) { tokens_.learn(used, choices); }
  /// The relay gets nothing more. Where it was the last, every run stops.
  void end(std::size_t relay, const relay_health::verdict& verdict);
  /// A run has nothing in hand but requests that wait for the relay's address. Where the same holds
  /// for all, the address is wrong, or each request is to find out for itself.
  void only_suspects_left(std::size_t relay);
  /// The relay answers no call that is streamed.
  void streams_are_off(std::size_t relay);
  /// A trial of whether it does ended without that.
  void stream_trial_over();
  bool stream_trial_on() const noexcept;
  /// The relay cuts calls that are silent for that long.
  void advise_streams(std::size_t relay, duration after);

  /// Other relays than this one are at work.
  bool has_others(std::size_t relay) const noexcept;
  /// Every relay that is at work gets one attempt at a time.
  bool in_trouble() const noexcept;

  /// Ends every exchange under way as broken, at once.
  void abort();

  /// The relay's name, for messages: "the relay" where there is no pool.
  std::string title(std::size_t relay) const;
  /// What a sentence about it begins with; empty where there is no pool.
  std::string prefix(std::size_t relay) const;

 private:
  void follow_health(std::size_t relay);
  void follow_rate(std::size_t relay);
  void follow_in_flight(std::size_t relay, std::size_t in_flight, time_point started);
  void end_all(std::size_t last, const relay_health::verdict& verdict);
  void bring_back(std::size_t relay);
  void ask_anew(bool forgets);
  void cancel_returns() noexcept;
  bool is_idle() const noexcept;
  std::size_t at_work() const noexcept;
  unsigned limit_of(std::size_t relay) const;
  void tell(severity level, const std::string& sentence) const;

  clock& time_;
  const pace_options pace_;
  observer* observer_;
  std::vector<std::unique_ptr<http_client>> own_clients_;
  std::vector<std::unique_ptr<limit_store>> stores_;
  std::vector<unsigned> limits_;  // of the windows
  std::unique_ptr<start_gate> gate_;
  std::deque<relay> relays_;  // in the order of the gate's lanes
  token_estimate tokens_;
  std::uint64_t successes_ = 0;
  std::mt19937_64 random_;
  std::vector<user*> users_;
  bool ended_ = false;                           // no relay was left, and no run has begun since
  std::map<std::size_t, clock::timer> returns_;  // of relays that rest for a while
};

/// How many attempts there may be in flight: by --concurrency, or, where that is no limit, by the
/// files that the process may have open.
std::size_t most_in_flight(const pace_options& pace);

}  // namespace sluice::upstream
