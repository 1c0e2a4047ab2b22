#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>
#include <vector>

#include "http/connection.hpp"
#include "sluice/clock.hpp"

namespace sluice {

/// The next address is tried when the previous one has failed, or has not answered for this time.
inline constexpr duration race_delay = std::chrono::milliseconds{250};

/// The order in which addresses are tried: the first address, then IPv4 and IPv6 addresses
/// alternately. So an address family that does not work costs only one delay.
std::vector<boost::asio::ip::tcp::endpoint> in_racing_order(
    std::vector<boost::asio::ip::tcp::endpoint> addresses);

/// Connects `link` to the first address that accepts a connection ("happy eyeballs", RFC 8305). It
/// tries the addresses in their order. Earlier attempts continue while later ones start; all but
/// the successful one are closed. It ends early if the connection's deadline expires or the
/// connection is aborted.
boost::asio::awaitable<boost::system::error_code> connect_to_any(
    connection& link, clock& clock, std::vector<boost::asio::ip::tcp::endpoint> addresses);

}  // namespace sluice
