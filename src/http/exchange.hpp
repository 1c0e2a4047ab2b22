#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/body_need.hpp"
#include "base/header_fields.hpp"
#include "sluice/clock.hpp"

namespace sluice {

class wait_queue;

/// Status and header fields of a final response; never of an interim one (100 Continue, 103 Early
/// Hints).
struct response_head {
  int status = 0;
  /// All header fields; if the head had to be repaired (mended_head()), the repaired ones.
  header_fields fields;
};

/// Receives the events of one exchange. Called on the event loop's thread.
class response_handler {
 public:
  virtual ~response_handler() = default;
  /// Whether the first byte may be sent now; false: the exchange ends as unreachable.
  virtual bool may_send() { return true; }
  /// The first byte is about to be sent, on a new connection (`connected_anew`) or a reused one.
  /// Called again if a reused connection turns out to be dead.
  virtual void on_sending(bool connected_anew) { (void)connected_anew; }
  /// The kernel's time of arrival of the bytes in the next calls; only after stamp_arrivals().
  virtual void on_arrival(time_point when) { (void)when; }
  /// The last byte of the request was given to the kernel.
  virtual void on_sent() = 0;
  virtual void on_head(response_head head) = 0;
  /// Takes a piece of the body. The result says whether the client must read more.
  virtual body_need on_body(std::string_view bytes) = 0;
  /// The number of bytes of the reply that the handler stores.
  virtual std::size_t held() const { return 0; }
  /// Returns whether the handler can take more of the body now. If not, the client stops reading,
  /// and the relay must wait.
  virtual bool has_room() { return true; }
  /// Woken when has_room() may have changed; null: it does not change by itself.
  virtual wait_queue* room_signal() { return nullptr; }
};

/// How one exchange ended.
struct exchange_end {
  enum class how : std::uint8_t {
    complete,          ///< the whole body arrived, or the handler needed no more of it
    unreachable,       ///< no connection: name lookup, connect or TLS handshake failed
    wrong_server,      ///< no host has the name, or the server has no TLS; never reached before
    bad_certificate,   ///< the certificate cannot be verified, or is not for this host
    refused_by_proxy,  ///< the proxy refuses the credentials
    broken,            ///< the connection broke, or the answer was not HTTP
    undecodable,       ///< the body cannot be decompressed
    timed_out,
  };
  how end = how::complete;
  std::string message;      ///< why it failed, for the user: the first cause
  bool sent_any = false;    ///< some bytes of the request may have been sent
  bool sent_whole = false;  ///< all bytes were given to the kernel
  bool head_arrived = false;
  /// Keeps the handler's bytes counted in reply_memory while it lives.
  std::shared_ptr<const void> memory = {};
};

}  // namespace sluice
