#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/exchange_group.hpp"
#include "http/name_lookup.hpp"
#include "http/reply_memory.hpp"
#include "openai/reply_reader.hpp"
#include "sluice/clock.hpp"
#include "sluice/config.hpp"

namespace sluice {

/// What is told while one exchange runs, on the event loop's thread.
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
  virtual void on_head(openai::response_head head) = 0;
  /// A piece of the body; the answer tells whether to read on.
  virtual openai::reply_reader::need on_body(std::string_view bytes) = 0;
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
  std::shared_ptr<const reply_memory::share> memory = {};
};

/// Sends one request at a time and place; the seam that tests put a fake behind.
class http_client {
 public:
  enum class verb : std::uint8_t {
    post,
    get,  ///< sent without body and Idempotency-Key
  };
  struct outgoing {
    std::string_view path;  ///< "/v1/chat/completions"; where it goes the base URL says
    std::string_view body;
    std::string_view idempotency_key;
    bool streamed = false;
    verb method = verb::post;
    exchange_group* group = nullptr;  ///< that it ends with, where it belongs to one
  };

  virtual ~http_client() = default;
  virtual boost::asio::awaitable<exchange_end> exchange(outgoing request,
                                                        response_handler& handler) = 0;
  /// From now on nothing new is sent: an exchange that has not begun to send ends as unreachable.
  virtual void stop_sending() = 0;
  virtual void allow_sending() = 0;  ///< as it is at the start
  /// Ends every exchange under way as broken, at once.
  virtual void abort() = 0;
  /// From now on handlers are told when the kernel got what is read. A client that has no kernel
  /// below it tells nothing.
  virtual void stamp_arrivals() {}
};

/// The client of real runs: HTTP/1.1 over TCP or TLS to one relay, connections kept alive and used
/// again. Replies compressed by gzip or zstd are undone, asked for (unstreamed) or not. `resolve`
/// is a seam for tests. Belongs to the event loop's thread.
///
/// `memory`: that the replies share with those of other clients; none: those of this one alone,
/// with the relay's own bounds.
std::unique_ptr<http_client> make_http_client(
    boost::asio::io_context& context, clock& clock, const relay_options& relay,
    name_lookup::resolver resolve = name_lookup::system_resolver,
    std::shared_ptr<reply_memory> memory = nullptr);

/// The memory for the replies of such relays together.
std::shared_ptr<reply_memory> make_reply_memory(const std::vector<const relay_options*>& relays);

}  // namespace sluice
