#pragma once

#include <boost/asio/awaitable.hpp>

#include "server/api.hpp"

// Additional routes for the page, not in OpenAI's API: what the server does for a key, and which
// requests of a batch failed.

namespace sluice::server {

/// GET /sluice/status
boost::asio::awaitable<void> show_status(api_parts& parts, const api_call& call);
/// GET /sluice/batches/{id}/errors
boost::asio::awaitable<void> list_failed_lines(api_parts& parts, const api_call& call);

}  // namespace sluice::server
