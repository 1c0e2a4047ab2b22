#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <string>

#include "http/base_url.hpp"
#include "http/proxy.hpp"

namespace sluice {

/// The result of open_tunnel().
struct tunnel_end {
  std::string error;                 ///< in the proxy's words if it sent any; empty: success
  bool refused_credentials = false;  ///< other credentials are needed
};

/// Asks the proxy at the other end of `socket` for a tunnel to the relay: by HTTP CONNECT (RFC
/// 9110, 9.3.6), or by SOCKS 5 (RFC 1928) with user and password (RFC 1929). Reads exactly the
/// proxy's answer; the bytes after it stay in the socket.
boost::asio::awaitable<tunnel_end> open_tunnel(boost::asio::ip::tcp::socket& socket,
                                               const proxy& through, const base_url& relay);

/// The value of Proxy-Authorization.
std::string basic_credentials(const proxy& through);

}  // namespace sluice
