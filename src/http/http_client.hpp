#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "http/exchange.hpp"
#include "http/exchange_group.hpp"
#include "http/lookup_threads.hpp"
#include "http/name_lookup.hpp"
#include "http/reply_memory.hpp"
#include "sluice/clock.hpp"
#include "sluice/config.hpp"

namespace sluice {

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
/// with the relay's own bounds. `lookups`: the threads on which names are looked up, shared with
/// other clients; none: some of its own.
std::unique_ptr<http_client> make_http_client(
    boost::asio::io_context& context, clock& clock, const relay_options& relay,
    name_lookup::resolver resolve = name_lookup::system_resolver,
    std::shared_ptr<reply_memory> memory = nullptr,
    std::shared_ptr<lookup_threads> lookups = nullptr);

/// The memory for the replies of such relays together.
std::shared_ptr<reply_memory> make_reply_memory(const std::vector<const relay_options*>& relays);

}  // namespace sluice
