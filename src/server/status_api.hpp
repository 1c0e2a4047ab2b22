#pragma once

#include <boost/asio/awaitable.hpp>

#include "server/api.hpp"

// Routes beside OpenAI's, for the page: what the server does for a key, and what failed in a batch.

namespace sluice::server {

/// GET /sluice/status
boost::asio::awaitable<void> show_status(api_parts& parts, const api_call& call);
/// GET /sluice/batches/{id}/errors
boost::asio::awaitable<void> list_failed_lines(api_parts& parts, const api_call& call);

}  // namespace sluice::server
