#pragma once

#include <boost/asio/awaitable.hpp>

#include "http/server/server.hpp"

// The page for people, at `/`. It needs no key and holds nothing secret: its script asks the other
// routes, with the key of who sits in front of it.

namespace sluice::server {

/// Answers a request for the page or one of its files; false: the path is of neither. `keys`:
/// clients need a key.
boost::asio::awaitable<bool> serve_page(http_server::exchange& call, bool keys);

}  // namespace sluice::server
