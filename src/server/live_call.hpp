#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "async/alarm.hpp"
#include "async/wait_queue.hpp"
#include "engine/own_turn.hpp"
#include "engine/retry.hpp"
#include "http/exchange_group.hpp"
#include "http/server/server.hpp"
#include "server/api_error.hpp"
#include "server/pass_through.hpp"
#include "server/reply_pipe.hpp"
#include "server/single_call.hpp"
#include "upstream/attempt.hpp"

namespace sluice::server {

/// One call, from its admission to its answer. Not thread safe: use it on the event loop's thread.
class pass_through::live_call {
 public:
  live_call(pass_through& owner, http_server::exchange& client, const client_key& key,
            single_call&& call);
  ~live_call();
  live_call(const live_call&) = delete;
  live_call& operator=(const live_call&) = delete;

  /// Returns when the client has its answer, or has closed the connection.
  boost::asio::awaitable<void> work();
  /// Ends a wait, because no relay is left or the server stops.
  void end_wait();

 private:
  class pipe;
  /// The result of one attempt.
  struct attempt_result {
    attempt_outcome outcome;
    exchange_end end;
    double ended_unix = 0;
  };

  boost::asio::awaitable<int> answer();
  boost::asio::awaitable<std::optional<api_error>> take_key_turn(run_limit* limit);
  boost::asio::awaitable<std::optional<api_error>> take_money();
  boost::asio::awaitable<std::optional<start_gate::permit>> wait_for_turn(
      start_gate& gate, start_gate::group& group, std::optional<std::size_t> avoided);
  /// Returns the status of the answer; 0: the answer was cut off; nothing: try again.
  boost::asio::awaitable<std::optional<int>> try_once(const start_gate::permit& turn);
  boost::asio::awaitable<attempt_result> exchange(attempt& current, pipe& reply,
                                                  upstream::relay& relay);
  boost::asio::awaitable<void> hand_through(reply_pipe& reply, const secrets& hidden);
  boost::asio::awaitable<std::optional<int>> follow(const start_gate::permit& turn, pipe& reply,
                                                    attempt_result& ended);
  boost::asio::awaitable<bool> waits_to_try_again(const start_gate::permit& turn,
                                                  const reply_pipe& reply, const exchange_end& end,
                                                  const failure& why,
                                                  const relay_health::verdict& verdict);
  boost::asio::awaitable<int> pass_on_error(reply_pipe& reply, const secrets& hidden);
  boost::asio::awaitable<int> refuse(const api_error& why);
  void count(const start_gate::permit& turn, attempt_result&& ended,
             const std::optional<token_usage>& usage, const serving& message);
  void keep_or_give_back(bool keep);
  void client_left();
  void note_reply();
  void end(int status);
  bool is_stopped() const noexcept { return gone_ || owner_.stopping_; }

  pass_through& owner_;
  http_server::exchange& client_;
  const client_key& key_;
  single_call call_;
  server_figures::call_place place_;
  const time_point began_;
  std::optional<duration> first_byte_;  // from `began_` to the first byte of the reply
  std::string error_;                   // class of the failure; empty: no failure
  unsigned attempts_ = 0;
  start_gate::token_count tokens_;
  std::optional<own_turn> own_turn_;
  std::optional<usd> reserved_;  // the reserved part of the key's budget
  std::string idempotency_key_;
  retry_policy::history past_;
  std::optional<std::size_t> failed_at_;
  time_point started_{};  // start of the last attempt
  double started_unix_ = 0;
  std::optional<duration> retry_after_;  // for refuse()
  bool final_ = false;                   // for refuse(): a retry by the client is useless
  bool begun_ = false;                   // the head of the reply was sent to the client
  bool sent_ = false;                    // the whole reply was sent to the client
  bool gone_ = false;                    // the client has closed the connection
  exchange_group exchanges_;
  boost::asio::cancellation_signal cancel_;
  wait_queue pause_;
  alarm pause_end_;
};

}  // namespace sluice::server
