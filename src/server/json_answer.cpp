#include "server/json_answer.hpp"

#include <nlohmann/json.hpp>

namespace sluice::server {

header_fields json_fields() {
  header_fields fields;
  fields.add("Content-Type", "application/json");
  return fields;
}

std::string json_text(const nlohmann::ordered_json& object) {
  return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

// Every argument of a co_await has a name: GCC 12 destroys some temporaries twice.
boost::asio::awaitable<void> send_error(http_server::exchange& client, const api_error& why) {
  const header_fields fields = json_fields();
  const std::string body = why.to_json();
  co_await client.send(why.status, fields, body);
}

}  // namespace sluice::server
