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

/// The order in which addresses are tried: the first one first, then IPv4 and IPv6 in turns, so
/// that a family that does not work costs only one delay.
std::vector<boost::asio::ip::tcp::endpoint> in_racing_order(
    std::vector<boost::asio::ip::tcp::endpoint> addresses);

/// Connects `link` to the first address that accepts a connection ("happy eyeballs", RFC 8305).
/// Addresses are tried in their order; earlier attempts continue while later ones start, and all
/// but the winner are closed. Ends early if the connection's deadline expires or it is aborted.
boost::asio::awaitable<boost::system::error_code> connect_to_any(
    connection& link, clock& clock, std::vector<boost::asio::ip::tcp::endpoint> addresses);

}  // namespace sluice
