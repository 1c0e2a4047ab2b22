#include "server/api_error.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "json/text.hpp"

namespace sluice::server {
namespace {

using nlohmann::ordered_json;

ordered_json text_or_null(const std::optional<std::string>& text) {
  return text ? ordered_json(*text) : ordered_json();
}

}  // namespace

std::string api_error::kind() const {
  return code ? *code : std::to_string(status);
}

std::string api_error::to_json() const {
  const ordered_json body = {{"error",
                              {{"message", message},
                               {"type", type},
                               {"param", text_or_null(param)},
                               {"code", text_or_null(code)}}}};
  return body.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string shortened(std::string_view text) {
  constexpr std::size_t longest = 200;
  if (text.size() <= longest) return std::string(text);
  return fmt::format("{}…", utf8_prefix(text, longest));
}

api_error missing_parameter(std::string_view name) {
  return {.message = fmt::format("Missing required parameter: '{}'.", name),
          .param = std::string(name),
          .code = "missing_required_parameter"};
}

api_error invalid_parameter(std::string_view name, std::string message) {
  return {.message = std::move(message), .param = std::string(name), .code = "invalid_value"};
}

api_error not_found(std::string_view kind, std::string_view id) {
  return {.status = 404,
          .message = fmt::format("No such {} object: {}", kind, shortened(id)),
          .param = "id"};
}

api_error unknown_route(std::string_view method, std::string_view path) {
  return {.status = 404,
          .message = fmt::format("Invalid URL ({} {})", shortened(method), shortened(path)),
          .code = "unknown_url"};
}

api_error disk_full() {
  return {
      .status = 507,
      .message = "The server's disk is full; nothing was stored. Free some space and try again.",
      .type = "server_error",
      .code = "insufficient_storage"};
}

api_error internal_fault() {
  return {.status = 500,
          .message = "The server had an error while processing your request. Its log has more.",
          .type = "server_error"};
}

}  // namespace sluice::server
