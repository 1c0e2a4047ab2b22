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

/// Sends requests to one relay; tests replace it with a fake. Not thread safe: use it on the event
/// loop's thread.
class http_client {
 public:
  enum class verb : std::uint8_t {
    post,
    get,  ///< sent without body and Idempotency-Key
  };
  struct outgoing {
    std::string_view path;  ///< "/v1/chat/completions"; see base_url::target()
    std::string_view body;
    std::string_view idempotency_key;
    bool streamed = false;
    verb method = verb::post;
    exchange_group* group = nullptr;  ///< the group that can stop it; may be null
    /// More header fields; they replace what the client would send by itself, but not the relay's
    /// configured headers nor its key. Null: none.
    const header_fields* fields = nullptr;
  };

  virtual ~http_client() = default;
  virtual boost::asio::awaitable<exchange_end> exchange(outgoing request,
                                                        response_handler& handler) = 0;
  /// Stops new requests: an exchange that has not begun to send ends as unreachable.
  virtual void stop_sending() = 0;
  virtual void allow_sending() = 0;  ///< ends stop_sending(); this is the initial state
  /// Ends every active exchange at once, as broken.
  virtual void abort() = 0;
  /// From now on, handlers get the kernel's arrival times (on_arrival()), if the client has any.
  virtual void stamp_arrivals() {}
};

/// The client of real runs: HTTP/1.1 over TCP or TLS to one relay, with keep-alive. gzip and zstd
/// replies are decompressed, even if compression was not requested. `resolve` is for tests. Not
/// thread safe: use it on the event loop's thread.
///
/// `memory`: the memory limit that its replies share with other clients; null: its own, with the
/// relay's limits. `lookups`: threads for name lookups, shared with other clients; null: its own.
std::unique_ptr<http_client> make_http_client(
    boost::asio::io_context& context, clock& clock, const relay_options& relay,
    name_lookup::resolver resolve = name_lookup::system_resolver,
    std::shared_ptr<reply_memory> memory = nullptr,
    std::shared_ptr<lookup_threads> lookups = nullptr);

/// The shared memory limit for the replies of these relays.
std::shared_ptr<reply_memory> make_reply_memory(const std::vector<const relay_options*>& relays);

}  // namespace sluice
