#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <string>

#include "http/base_url.hpp"
#include "http/proxy.hpp"

namespace sluice {

/// What a proxy made of the wish for a tunnel.
struct tunnel_end {
  std::string error;                 ///< in the proxy's words where it has any; empty: it stands
  bool refused_credentials = false;  ///< nothing but other credentials will help
};

/// Has the proxy at the other end of `socket` connect it to the relay: HTTP's CONNECT (RFC 9110,
/// 9.3.6), or SOCKS 5 (RFC 1928) with user and password (RFC 1929). What comes behind the proxy's
/// answer is left in the socket.
boost::asio::awaitable<tunnel_end> open_tunnel(boost::asio::ip::tcp::socket& socket,
                                               const proxy& through, const base_url& relay);

/// The value of Proxy-Authorization.
std::string basic_credentials(const proxy& through);

}  // namespace sluice
