#pragma once

#include <boost/asio/awaitable.hpp>

#include "http/server/server.hpp"

// The web page at `/`. It needs no key and contains nothing secret: its script calls the other
// routes with the key that the user has entered.

namespace sluice::server {

/// Answers a request for the page or one of its files. Returns false if the path is neither.
/// `keys`: clients need a key.
boost::asio::awaitable<bool> serve_page(http_server::exchange& call, bool keys);

}  // namespace sluice::server
