#pragma once

#include <boost/asio/awaitable.hpp>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/header_fields.hpp"
#include "http/server/server.hpp"
#include "server/api_error.hpp"

namespace sluice::server {

/// The header fields of an answer in JSON.
header_fields json_fields();

/// The object on one line. Bytes that are not UTF-8 are replaced.
std::string json_text(const nlohmann::ordered_json& object);

/// Answers with the error and its status.
boost::asio::awaitable<void> send_error(http_server::exchange& client, const api_error& why);

}  // namespace sluice::server
