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

/// Opens connections to one relay: its name or its proxy's, the addresses, the proxy, TLS. Belongs
/// to the event loop's thread.
class connector {
 public:
  connector(boost::asio::io_context& context, clock& clock, const relay_options& relay,
            base_url url, name_lookup::resolver resolve, std::shared_ptr<lookup_threads> threads);

  /// A connection that is not open yet.
  std::unique_ptr<connection> make();
  /// Opens it before its deadline; how that ended.
  boost::asio::awaitable<exchange_end> open(connection& fresh);

  /// There is a proxy that is asked request by request, not for a tunnel.
  bool forwards() const noexcept {
    return proxy_ && proxy_->spoken == proxy::protocol::http && !url_.tls;
  }
  /// What a request names before its target: the relay itself, where a proxy passes requests on.
  std::string request_prefix() const;
  /// For that proxy; empty when there is none, or it asks for nothing.
  std::string proxy_authorization() const;

 private:
  boost::asio::awaitable<std::string> find_addresses(connection& fresh);
  boost::asio::awaitable<exchange_end> connect(connection& fresh, const std::string& goal);
  boost::asio::awaitable<exchange_end> reach(connection& fresh);
  boost::asio::awaitable<exchange_end> try_to_open(connection& fresh);

  boost::asio::io_context& context_;
  clock& clock_;
  const base_url url_;
  const duration connection_age_;
  std::optional<proxy> proxy_;
  name_lookup names_;  // of the proxy, where there is one
  std::optional<tls_client> tls_;
  bool tunnelled_ = false;  // the proxy has taken the credentials before
  std::minstd_rand spread_;
};

}  // namespace sluice
