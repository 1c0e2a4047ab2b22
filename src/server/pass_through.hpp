#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "async/background.hpp"
#include "async/wait_queue.hpp"
#include "engine/retry.hpp"
#include "http/server/server.hpp"
#include "money/cost_bound.hpp"
#include "server/access_keys.hpp"
#include "server/key_funds.hpp"
#include "server/server_figures.hpp"
#include "sluice/engine.hpp"
#include "sluice/observer.hpp"
#include "sluice/prices.hpp"
#include "sluice/run_limit.hpp"
#include "upstream/relays.hpp"

namespace sluice::server {

struct pass_through_options {
  /// Longest body of a call; a longer one is answered 413.
  std::uint64_t max_body_bytes = std::uint64_t{64} << 20;
  unsigned max_attempts = 5;
  duration backoff_base = std::chrono::seconds{1};
  duration backoff_cap = std::chrono::seconds{60};
  std::uint64_t seed = 1;
  bool counts_tokens = false;  ///< the relays have a limit in tokens per minute
  bound_defaults defaults;     ///< defaults for the highest cost of a call
};

/// Passes single calls of interactive clients on to the relays. They share the limit with batches,
/// but start before them. Each piece of a reply is passed on when it arrives. A call is cancelled
/// when the client closes the connection. Not thread safe: use it on the event loop's thread.
class pass_through final : public upstream::relays::user {
 public:
  struct needs {
    boost::asio::io_context& loop;
    background& disk;
    engine& sender;
    const relay_prices& prices;
    key_funds& money;
    server_figures& figures;
    /// Returns the limit of a key by its name; null if it has no limit.
    std::function<run_limit*(const std::string&)> limit_of;
    observer* listener = nullptr;
  };

  /// All references must outlive it.
  pass_through(needs from, const pass_through_options& options);
  ~pass_through() override;
  pass_through(const pass_through&) = delete;
  pass_through& operator=(const pass_through&) = delete;

  /// Answers a POST to one of the endpoints.
  boost::asio::awaitable<void> serve(http_server::exchange& client, const client_key& key);
  /// Answers a GET of "/v1/models" or of one model.
  boost::asio::awaitable<void> show_models(http_server::exchange& client, const client_key& key);

  /// Refuses new calls and calls that wait; calls in flight finish.
  void stop();
  /// Returns when the last call has ended; call it after stop(). After that, the relays'
  /// connections may be closed.
  boost::asio::awaitable<void> ended();

 private:
  class live_call;

  // relays::user
  bool stopping() const noexcept override { return stopping_; }
  bool at_work() const noexcept override { return !calls_.empty(); }
  bool waits_for_address() const noexcept override { return calls_.empty(); }
  void on_relays_ended(stop_reason reason, const std::string& message,
                       std::optional<double> again_at) override;
  void on_success(std::size_t, time_point) override {}
  void on_rest(std::size_t) override {}
  void on_address_settled() override {}
  void on_streams_off(std::size_t) override {}
  void on_others_settled() override {}

  /// The calls of a key that wait for the key's own limit.
  struct key_turns {
    explicit key_turns(start_gate& gate) : calls(gate, start_gate::urgency::urgent) {}
    start_gate::group calls;
  };
  std::string new_idempotency_key();
  void task_began() { ++tasks_; }
  void task_ended(const std::exception_ptr& thrown);
  double unix_now() const { return time_.unix_now(); }
  /// Returns the time until a relay accepts calls again; nothing if no relay has said when.
  std::optional<duration> time_until_back() const;

  needs needs_;
  const pass_through_options options_;
  clock& time_;
  upstream::relays& relays_;
  std::optional<start_gate::group> urgent_;
  std::optional<start_gate::group> flex_;
  std::map<std::string, key_turns> key_turns_;  // by name of the key
  retry_policy retries_;
  const std::string key_prefix_;  // prefix of idempotency keys, different in each process
  std::uint64_t keys_made_ = 0;
  std::set<live_call*> calls_;
  std::size_t tasks_ = 0;  // calls, and the remaining work of answered calls
  wait_queue all_ended_;
  std::string ended_reason_;  // why no relay is left; empty if one is left
  std::optional<double> again_at_;
  bool stopping_ = false;
};

}  // namespace sluice::server
