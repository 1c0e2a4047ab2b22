#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "http/base_url.hpp"
#include "http/connection.hpp"
#include "http/http_client.hpp"
#include "http/lookup_threads.hpp"
#include "http/name_lookup.hpp"
#include "http/proxy.hpp"
#include "http/tls_client.hpp"
#include "sluice/clock.hpp"
#include "sluice/config.hpp"

namespace sluice {

/// Opens connections to one relay: name lookup, TCP, proxy, TLS. Not thread safe: use it on the
/// event loop's thread.
class connector {
 public:
  connector(boost::asio::io_context& context, clock& clock, const relay_options& relay,
            base_url url, name_lookup::resolver resolve, std::shared_ptr<lookup_threads> threads);

  /// A connection that is not open yet.
  std::unique_ptr<connection> make();
  /// Opens it before its deadline. Returns `complete`, or why it failed.
  boost::asio::awaitable<exchange_end> open(connection& link);

  /// Requests go through an HTTP proxy that forwards each of them, without a tunnel.
  bool forwards() const noexcept {
    return proxy_ && proxy_->kind == proxy::protocol::http && !url_.tls;
  }
  /// Prefix of request targets: the relay's origin if forwards(), else empty.
  std::string request_prefix() const;
  /// Value of Proxy-Authorization for such a proxy; empty: none.
  std::string proxy_authorization() const;

 private:
  boost::asio::awaitable<std::string> find_addresses(connection& link);
  boost::asio::awaitable<exchange_end> connect(connection& link, const std::string& goal);
  boost::asio::awaitable<exchange_end> reach(connection& link);
  boost::asio::awaitable<exchange_end> try_to_open(connection& link);

  boost::asio::io_context& context_;
  clock& clock_;
  const base_url url_;
  const duration connection_age_;
  std::optional<proxy> proxy_;
  name_lookup names_;  // looks up the proxy's name if there is a proxy, otherwise the relay's
  std::optional<tls_client> tls_;
  bool tunnelled_ = false;  // the proxy has accepted the credentials before
  bool secured_ = false;    // a TLS handshake has succeeded before
  std::minstd_rand spread_;
};

}  // namespace sluice
