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

/// What the owner of an attempt may want to know while it goes on; told on the event loop's thread.
class attempt_observer {
 public:
  virtual ~attempt_observer() = default;
  /// The first byte is about to go out; told again where a used connection turns out to be dead.
  virtual void on_sending(time_point when) { (void)when; }
  /// The head as it came.
  virtual void on_head(const response_head& head) { (void)head; }
  /// Bytes of the body as they came, before they are read.
  virtual void on_body(std::string_view bytes) { (void)bytes; }
  /// More of a streamed reply came, as its pieces() count.
  virtual void on_pieces(const attempt& by) { (void)by; }
  /// How many bytes of the reply it keeps itself.
  virtual std::size_t held() const { return 0; }
};

/// One attempt at a request, from its turn at the gate to what came of it: tells the gate of its
/// moments, has the reply read, and keeps when what came. Belongs to the event loop's thread; one
/// object an exchange.
class attempt final : public response_handler {
 public:
  /// The relay that it goes to. All of it outlives the attempt.
  struct way {
    http_client& client;
    const relay_options& relay;
    const secrets& hidden;
    start_gate& gate;
  };

  /// Nothing where a moment did not come.
  struct moments {
    time_point started{};  ///< it was made
    bool connected_anew = false;
    std::optional<time_point> sending;      ///< a connection was there, the first byte about to go
    std::optional<time_point> head;         ///< of the reply
    std::optional<time_point> first_piece;  ///< of content, reasoning, refusal or a tool call
    time_point ended{};                     ///< the last byte that was needed came, or it failed
  };

  /// `expected`: the relay's options say how long the reply may be. `observer` may be null.
  attempt(clock& time, const way& to, start_gate::permit turn,
          openai::reply_reader::expectation expected, attempt_observer* observer = nullptr);
  attempt(const attempt&) = delete;
  attempt& operator=(const attempt&) = delete;
  ~attempt() override { leave(); }

  /// Sends the request and reads what comes; call once.
  boost::asio::awaitable<attempt_outcome> send(http_client::outgoing request);
  /// How the exchange ended; before send(): nothing was sent.
  const exchange_end& end() const noexcept { return end_; }
  const moments& seen() const noexcept { return seen_; }

  /// Of a streamed reply, so far.
  openai::piece_count pieces() const noexcept { return reader_.pieces(); }
  /// When what is being told of came: by the kernel's word, else now.
  time_point came() const { return arrived_ ? *arrived_ : time_.now(); }

  /// Its actual token count; corrects the reservation.
  void used(std::uint64_t tokens) { to_.gate.used(turn_, tokens); }
  /// Gives up its place at the gate, and its slot where nothing was sent; at the end of the
  /// attempt's life at the latest.
  void leave() {
    if (!std::exchange(left_, true)) to_.gate.leave(turn_, !end_.sent_any);
  }
  /// Makes what came fit to be kept and shown: names the address where what answers there is not
  /// this API, and redacts the relay's keys.
  void redact(attempt_outcome& told) const;

  void on_sending(bool connected_anew) override;
  void on_arrival(time_point when) override { arrived_ = when; }
  void on_sent() override { to_.gate.sent(turn_); }
  void on_head(response_head head) override;
  body_need on_body(std::string_view bytes) override;
  std::size_t held() const override;

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
  bool left_ = false;  // its place at the gate
};

}  // namespace sluice
