#include "server/api.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "server/batches_api.hpp"
#include "server/files_api.hpp"
#include "server/json_answer.hpp"
#include "server/page_api.hpp"
#include "server/status_api.hpp"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

using route_handler = asio::awaitable<void> (*)(api_parts&, const api_call&);

asio::awaitable<void> pass_call(api_parts& parts, const api_call& call) {
  return parts.calls.serve(call.exchange, call.client);
}

asio::awaitable<void> show_models(api_parts& parts, const api_call& call) {
  return parts.calls.show_models(call.exchange, call.client);
}

// In `path`, `{id}` matches one segment, and `{name}` matches the rest.
struct route {
  std::string_view method;
  std::string_view path;
  route_handler handler;
};

// The most frequent routes come first.
constexpr std::array<route, 19> routes = {{
    {"POST", "/v1/chat/completions", pass_call},
    {"POST", "/v1/completions", pass_call},
    {"POST", "/v1/embeddings", pass_call},
    {"POST", "/v1/responses", pass_call},
    {"POST", "/v1/messages", pass_call},
    {"POST", "/v1/files", upload_file},
    {"GET", "/v1/files", list_files},
    {"GET", "/v1/files/{id}", show_file},
    {"GET", "/v1/files/{id}/content", send_file_content},
    {"DELETE", "/v1/files/{id}", delete_file},
    {"POST", "/v1/batches", create_batch},
    {"GET", "/v1/batches", list_batches},
    {"GET", "/v1/batches/{id}", show_batch},
    {"POST", "/v1/batches/{id}/cancel", cancel_batch},
    {"POST", "/v1/batches/{id}/retry", retry_batch},
    {"GET", "/sluice/status", show_status},
    {"GET", "/sluice/batches/{id}/errors", list_failed_lines},
    {"GET", "/v1/models", show_models},
    {"GET", "/v1/models/{name}", show_models},
}};

// Returns the id in the path if the path matches the route. The id is empty if the route has none.
std::optional<std::string_view> match(std::string_view path, std::string_view pattern) {
  constexpr std::string_view hole = "{id}";
  constexpr std::string_view rest = "{name}";
  if (pattern.ends_with(rest)) {
    const std::string_view before = pattern.substr(0, pattern.size() - rest.size());
    const bool fits = path.size() > before.size() && path.starts_with(before);
    return fits ? std::optional(path.substr(before.size())) : std::nullopt;
  }
  const std::size_t at = pattern.find(hole);
  if (at == std::string_view::npos) {
    return path == pattern ? std::optional(std::string_view()) : std::nullopt;
  }
  const std::string_view before = pattern.substr(0, at);
  const std::string_view after = pattern.substr(at + hole.size());
  if (path.size() <= before.size() + after.size() || !path.starts_with(before) ||
      !path.ends_with(after)) {
    return std::nullopt;
  }
  const auto id = path.substr(before.size(), path.size() - before.size() - after.size());
  return id.find('/') == std::string_view::npos ? std::optional(id) : std::nullopt;
}

// Returns whether the methods match. HEAD is answered like GET, without the body.
bool same_method(std::string_view asked, std::string_view of_route) {
  return asked == of_route || (asked == "HEAD" && of_route == "GET");
}

// Returns whether a request with this method changes nothing.
bool is_look(std::string_view method) {
  return method == "GET" || method == "HEAD";
}

// Returns the value of the Authorization header. Anthropic's SDK sends its key in another header
// (X-Api-Key).
std::optional<std::string> key_of(const header_fields& fields) {
  if (const auto given = fields.last("Authorization")) return std::string(*given);
  const auto key = fields.last("X-Api-Key");
  return key ? std::optional("Bearer " + std::string(*key)) : std::nullopt;
}

std::string percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = 0;
    const char* const end = text.data() + i + 3;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, end, byte, 16).ptr == end) {
      decoded += static_cast<char>(byte);
      i += 2;
    } else {
      decoded += text[i] == '+' ? ' ' : text[i];
    }
  }
  return decoded;
}

api_error wrong_key(bool given) {
  return {.status = 401,
          .message = given ? "Incorrect API key provided. Use a key of this server's keys file."
                           : "You didn't provide an API key. Send it in an Authorization header: "
                             "'Authorization: Bearer YOUR_KEY'.",
          .code = given ? std::optional<std::string>("invalid_api_key") : std::nullopt};
}

}  // namespace

asio::awaitable<bool> api_call::answer(int status, std::string_view json) const {
  const header_fields fields = json_fields();
  const bool sent = co_await exchange.send(status, fields, json);
  co_return sent;
}

asio::awaitable<bool> api_call::refuse(const api_error& why) const {
  const std::string body = why.to_json();
  const bool sent = co_await answer(why.status, body);
  co_return sent;
}

std::optional<std::string> api_call::parameter(std::string_view name) const {
  // The text before the sign, and the text behind it; without the sign, all of it and nothing.
  const auto split = [](std::string_view text, char sign) {
    const std::size_t at = text.find(sign);
    if (at == std::string_view::npos) return std::pair(text, std::string_view());
    return std::pair(text.substr(0, at), text.substr(at + 1));
  };
  std::string_view rest = exchange.head().query;
  while (!rest.empty()) {
    const auto [first, others] = split(rest, '&');
    const auto [key, value] = split(first, '=');
    if (percent_decoded(key) == name) return percent_decoded(value);
    rest = others;
  }
  return std::nullopt;
}

asio::awaitable<void> api::serve(watched_call& call) {
  std::optional<api_error> refusal;
  try {
    co_await dispatch(call);
  } catch (const http_server::body_error& fault) {
    if (fault.status() == 0) co_return;
    if (call.status() != 0) throw;
    refusal = api_error{.status = fault.status(), .message = fault.what()};
  } catch (const store::store_error& fault) {
    parts_.figures.store_failed();
    refusal = fault.full() ? disk_full() : internal_fault();
    if (parts_.listener != nullptr) {
      parts_.listener->on_notice({.level = severity::warning, .run = {}, .text = fault.what()});
    }
    // The answer has begun, so only a closed connection shows the client that it is not whole.
    if (call.status() != 0) throw;
  }
  if (refusal) co_await send_error(call, *refusal);
}

bool api::is_unprotected(std::string_view path) const {
  if (path == "/healthz" || path == "/readyz") return false;
  return parts_.keys.empty() || (path == "/metrics" && !parts_.is_open);
}

asio::awaitable<void> api::dispatch(watched_call& call) {
  if (is_unprotected(call.head().path)) {
    const auto foreign = refuse_foreign_page(call.head(), parts_.names);
    if (foreign) {
      co_await send_error(call, *foreign);
      co_return;
    }
  }
  const auto& head = call.head();
  if (is_look(head.method)) {
    const bool is_watch = co_await parts_.watch.serve(call);
    if (is_watch) co_return;
    const bool is_page = co_await serve_page(call, !parts_.keys.empty());
    if (is_page) {
      call.set_route("/");
      co_return;
    }
  }
  const auto authorization = key_of(head.fields);
  const client_key* client = parts_.keys.find(authorization.value_or(""));
  std::optional<api_error> refusal;
  if (client == nullptr) {
    refusal = wrong_key(authorization.has_value());
  } else {
    call.set_client(client->name);
    for (const route& each : routes) {
      const auto id = match(head.path, each.path);
      if (!id || !same_method(head.method, each.method)) continue;
      call.set_route(each.path);
      // Copies the client, because the keys file may be read again while the request is answered.
      const client_key known = *client;
      const api_call routed{call, known, *id};
      co_await each.handler(parts_, routed);
      co_return;
    }
    refusal = unknown_route(head.method, head.path);
  }
  co_await send_error(call, *refusal);
}

std::string refusal_json(int status, std::string_view message) {
  return api_error{.status = status, .message = std::string(message)}.to_json();
}

}  // namespace sluice::server
