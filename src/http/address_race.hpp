#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>
#include <vector>

#include "http/connection.hpp"
#include "sluice/clock.hpp"

namespace sluice {

/// The next address is tried when the one before has failed, or has not answered for so long.
inline constexpr duration race_delay = std::chrono::milliseconds{250};

/// The order in which addresses are tried: the first one first, then the families in turns, so
/// that one family that leads nowhere costs a single delay.
std::vector<boost::asio::ip::tcp::endpoint> in_racing_order(
    std::vector<boost::asio::ip::tcp::endpoint> addresses);

/// Connects `link` to the first of the addresses that takes a connection, as RFC 8305 has it
/// ("happy eyeballs"), trying them in the order given. Those under way go on while others are
/// tried; all but the winner are closed. Ends early when the connection's deadline passes or it is
/// aborted.
boost::asio::awaitable<boost::system::error_code> connect_to_any(
    connection& link, clock& clock, std::vector<boost::asio::ip::tcp::endpoint> addresses);

}  // namespace sluice
