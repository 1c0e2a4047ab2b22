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

/// The head of a final response: no interim one (100 Continue, 103 Early Hints).
struct response_head {
  int status = 0;
  /// All that came before the body; those of a framing that had to be mended (mended_head()), as it
  /// is mended.
  header_fields fields;
};

/// Hears how one exchange goes on. Called on the event loop's thread.
class response_handler {
 public:
  virtual ~response_handler() = default;
  /// There is a connection, made for this exchange or used before, and the first byte is about to
  /// go out; told again where a used one turns out to be dead.
  virtual void on_sending(bool connected_anew) { (void)connected_anew; }
  /// What is told of next came then, by the kernel; only after stamp_arrivals().
  virtual void on_arrival(time_point when) { (void)when; }
  /// The last byte of the request was given to the kernel.
  virtual void on_sent() = 0;
  virtual void on_head(response_head head) = 0;
  /// A piece of the body; the answer tells whether to read on.
  virtual body_need on_body(std::string_view bytes) = 0;
  /// How many bytes it keeps of the reply.
  virtual std::size_t held() const { return 0; }
  /// Whether more of the body may be handed on now; the rest waits, and the relay with it.
  virtual bool has_room() { return true; }
};

/// How one exchange ended.
struct exchange_end {
  enum class how : std::uint8_t {
    complete,          ///< the whole body came, or the handler needed no more of it
    unreachable,       ///< no connection: name, connect or TLS handshake
    bad_certificate,   ///< the certificate does not verify, or not for this host
    refused_by_proxy,  ///< the proxy wants other credentials
    broken,            ///< the connection broke, or what came was not HTTP
    undecodable,       ///< the body is compressed in a way that cannot be undone
    timed_out,
  };
  how end = how::complete;
  std::string message;      ///< of a failure, for a person: the first cause
  bool sent_any = false;    ///< some bytes of the request may have left
  bool sent_whole = false;  ///< all of them were given to the kernel
  bool head_arrived = false;
  /// What the handler holds of the reply counts for as long as this lives.
  std::shared_ptr<const void> memory = {};
};

}  // namespace sluice
