#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include "http/exchange.hpp"
#include "http/http_client.hpp"
#include "openai/piece_count.hpp"
#include "openai/reply_reader.hpp"
#include "sluice/clock.hpp"
#include "sluice/config.hpp"
#include "upstream/attempt_outcome.hpp"
#include "upstream/secrets.hpp"
#include "upstream/start_gate.hpp"

namespace sluice {

class attempt;

/// Receives the events of an attempt. Called on the event loop's thread.
class attempt_observer {
 public:
  virtual ~attempt_observer() = default;
  /// The first byte is about to be sent. Called again if a reused connection turns out to be dead.
  virtual void on_sending(time_point when) { (void)when; }
  /// Status and header fields of the response arrived.
  virtual void on_head(const response_head& head) { (void)head; }
  /// Bytes of the body arrived; called before they are parsed.
  virtual void on_body(std::string_view bytes) { (void)bytes; }
  /// New pieces of a streamed reply were parsed; see attempt::pieces().
  virtual void on_pieces(const attempt& by) { (void)by; }
  /// Number of bytes of the reply that the observer stores itself.
  virtual std::size_t held() const { return 0; }
  /// Whether the body must be read to its end, even if the reply is complete or cannot be parsed.
  virtual bool wants_rest() const { return false; }
  /// See response_handler.
  virtual bool has_room() { return true; }
  virtual wait_queue* room_signal() { return nullptr; }
};

/// One attempt at a request, from its permit of the gate to its outcome. Not thread safe: use it on
/// the event loop's thread; one object for each exchange. Reports its events to the gate, parses
/// the reply, and records the time of each event.
class attempt final : public response_handler {
 public:
  /// The relay to send to. All references must outlive the attempt.
  struct way {
    http_client& client;
    const relay_options& relay;
    const secrets& hidden;
    start_gate& gate;
  };

  /// The times of its events; nullopt: the event did not happen.
  struct moments {
    time_point started{};  ///< this object was created
    bool connected_anew = false;
    std::optional<time_point> sending;      ///< connected, and about to send the first byte
    std::optional<time_point> head;         ///< the response head arrived
    std::optional<time_point> first_piece;  ///< first content, reasoning, refusal or tool call
    time_point ended{};                     ///< the last needed byte arrived, or it failed
  };

  /// `expected.max_body_bytes` is set from the relay's options. `observer` may be null.
  attempt(clock& time, const way& to, start_gate::permit turn,
          openai::reply_reader::expectation expected, attempt_observer* observer = nullptr);
  attempt(const attempt&) = delete;
  attempt& operator=(const attempt&) = delete;
  ~attempt() override { leave(); }

  /// Sends the request and reads the reply. Call it once.
  boost::asio::awaitable<attempt_outcome> send(http_client::outgoing request);
  /// How the exchange ended; before send(), its default value: nothing was sent.
  const exchange_end& end() const noexcept { return end_; }
  const moments& seen() const noexcept { return seen_; }

  /// The pieces of a streamed reply so far.
  openai::piece_count pieces() const noexcept { return reader_.pieces(); }
  /// The text of a streamed reply so far; see openai::reply_reader::text().
  std::string_view text() const { return reader_.text(); }
  /// When the bytes of the current event arrived: the kernel's timestamp if there is one, else now.
  time_point came() const { return arrived_ ? *arrived_ : time_.now(); }

  /// Actual token count; corrects the reservation.
  void used(std::uint64_t tokens) { to_.gate.used(turn_, tokens); }
  /// Gives its permit back to the gate, and its slot too if nothing was sent. If this was not
  /// called, the destructor does it.
  void leave() {
    if (!std::exchange(left_, true)) to_.gate.leave(turn_, !end_.sent_any);
  }
  /// Prepares the outcome for storage and display: adds the URL to the message if the answer is not
  /// from this API, and redacts the relay's keys.
  void redact(attempt_outcome& outcome) const;

  bool may_send() override { return to_.gate.may_send(turn_); }
  void on_sending(bool connected_anew) override;
  void on_arrival(time_point when) override { arrived_ = when; }
  void on_sent() override { to_.gate.sent(turn_); }
  void on_head(response_head head) override;
  body_need on_body(std::string_view bytes) override;
  std::size_t held() const override;
  bool has_room() override { return observer_ == nullptr || observer_->has_room(); }
  wait_queue* room_signal() override {
    return observer_ == nullptr ? nullptr : observer_->room_signal();
  }

 private:
  clock& time_;
  const way to_;
  const start_gate::permit turn_;
  const endpoint target_;
  openai::reply_reader reader_;
  attempt_observer* const observer_;
  std::optional<time_point> arrived_;
  moments seen_;
  exchange_end end_;
  bool left_ = false;  // the permit has been given back
};

}  // namespace sluice
