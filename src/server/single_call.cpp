#include "server/single_call.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

#include "jobs/job_line.hpp"
#include "json/object.hpp"
#include "json/text.hpp"
#include "server/model_name.hpp"
#include "sluice/endpoint.hpp"

namespace sluice::server {
namespace {

constexpr std::string_view messages_path = "/v1/messages";

// Fields that apply to one connection (RFC 9110, section 7.6.1), and fields that frame a body.
constexpr std::array<std::string_view, 10> of_connection{
    "Connection",          "Keep-Alive", "Proxy-Authenticate", "TE",      "Proxy-Connection",
    "Proxy-Authorization", "Trailer",    "Transfer-Encoding",  "Upgrade", "Content-Length"};
// Request fields that are only for this server, or that the HTTP client sets for the relay.
constexpr std::array<std::string_view, 7> for_server{
    "Host", "Authorization", "X-Api-Key", "Cookie", "Expect", "Accept-Encoding", "Idempotency-Key"};
// Response fields about the relay's host, or about an encoding that was removed.
constexpr std::array<std::string_view, 6> of_relay{
    "Date", "Server", "Content-Encoding", "Alt-Svc", "Set-Cookie", "Strict-Transport-Security"};

bool is_one_of(std::string_view name, std::span<const std::string_view> names) {
  return std::any_of(names.begin(), names.end(),
                     [&](std::string_view one) { return same_name(one, name); });
}

// Returns whether a Connection field lists this field, so that it is only for the next hop.
bool is_named_by_connection(std::string_view name, const header_fields& fields) {
  for (const auto& [field, value] : fields) {
    if (!same_name(field, "Connection")) continue;
    for (std::string_view rest = value; !rest.empty();) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      std::string_view token = rest.substr(0, comma);
      rest.remove_prefix(std::min(comma + 1, rest.size()));
      while (token.starts_with(' ')) token.remove_prefix(1);
      while (token.ends_with(' ')) token.remove_suffix(1);
      if (same_name(token, name)) return true;
    }
  }
  return false;
}

std::optional<endpoint> endpoint_at(std::string_view path) {
  for (const auto target : {endpoint::chat_completions, endpoint::completions, endpoint::embeddings,
                            endpoint::responses}) {
    if (path == to_string(target)) return target;
  }
  return std::nullopt;
}

}  // namespace

boost::system::result<single_call, api_error> read_call(std::string_view path, std::string body) {
  single_call call;
  call.path = path;
  call.messages = path == messages_path;
  call.asked.target = endpoint_at(path).value_or(endpoint::chat_completions);
  call.asked.body = std::move(body);
  const json_object object = json_object::parse(call.asked.body);
  if (!object.is_object()) {
    const auto fault = json_fault(call.asked.body);
    return api_error{.message =
                         fault ? "We could not parse the JSON body of your request: " + *fault + "."
                               : "The body of your request is not a JSON object."};
  }
  if (const json_member* model = object.find("model")) {
    call.asked.model = json_string(model->value).value_or("");
  }
  if (call.asked.model.empty()) {
    return api_error{.message = "you must provide a model parameter", .param = "model"};
  }
  if (const auto fault = fault_of_model(call.asked.model); !fault.empty()) {
    return api_error{.message = std::string(fault), .param = "model", .code = "invalid_value"};
  }
  call.asked.streamed = object.value("stream") == "true";
  call.flex = object.value("service_tier") == "\"flex\"";
  call.asked.choices = choices_asked(object.find("n"), object.find("prompt"), call.asked.target);
  return call;
}

header_fields fields_for_relay(const header_fields& came, const single_call& call,
                               const relay_options& relay) {
  header_fields kept;
  bool has_version = false;
  for (const auto& [name, value] : came) {
    if (is_one_of(name, of_connection) || is_one_of(name, for_server)) continue;
    if (is_named_by_connection(name, came)) continue;
    // The body is JSON even if a program such as `curl -d` declares another type. Relays may use
    // the declared type, so it is not passed on.
    if (same_name(name, "Content-Type") && value.find("json") == std::string_view::npos) continue;
    has_version = has_version || same_name(name, "anthropic-version");
    kept.add(name, value);
  }
  if (call.messages) {
    if (!relay.api_key.empty()) kept.add("x-api-key", relay.api_key);
    if (!has_version) kept.add("anthropic-version", "2023-06-01");
  }
  return kept;
}

header_fields fields_for_client(const header_fields& came, const secrets& hidden) {
  header_fields kept;
  for (const auto& [name, value] : came) {
    if (is_one_of(name, of_connection) || is_one_of(name, of_relay)) continue;
    if (is_named_by_connection(name, came)) continue;
    std::string shown(value);
    hidden.redact(shown);
    kept.add(name, shown);
  }
  return kept;
}

}  // namespace sluice::server
