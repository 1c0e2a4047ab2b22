#pragma once

#include <boost/asio/awaitable.hpp>

#include "server/api.hpp"

// The routes of OpenAI's Batches API, and an additional one: retry. Each function answers one call.

namespace sluice::server {

boost::asio::awaitable<void> create_batch(api_parts& parts, const api_call& call);
boost::asio::awaitable<void> list_batches(api_parts& parts, const api_call& call);
boost::asio::awaitable<void> show_batch(api_parts& parts, const api_call& call);
boost::asio::awaitable<void> cancel_batch(api_parts& parts, const api_call& call);
/// Makes a new batch from the failed requests (the error file) of a batch that has ended.
boost::asio::awaitable<void> retry_batch(api_parts& parts, const api_call& call);

}  // namespace sluice::server
