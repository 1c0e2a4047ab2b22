#pragma once

#include <boost/asio/awaitable.hpp>

#include "server/api.hpp"

// The routes of OpenAI's Files API. Each answers one call.

namespace sluice::server {

boost::asio::awaitable<void> upload_file(api_parts& parts, const api_call& call);
boost::asio::awaitable<void> list_files(api_parts& parts, const api_call& call);
boost::asio::awaitable<void> show_file(api_parts& parts, const api_call& call);
boost::asio::awaitable<void> send_file_content(api_parts& parts, const api_call& call);
boost::asio::awaitable<void> delete_file(api_parts& parts, const api_call& call);

}  // namespace sluice::server
