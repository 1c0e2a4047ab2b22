#include "server/pass_through.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "http/exchange_group.hpp"
#include "http/kept_response.hpp"
#include "json/object.hpp"
#include "openai/reply_head.hpp"
#include "server/api_error.hpp"
#include "server/json_answer.hpp"
#include "server/live_call.hpp"
#include "server/object_id.hpp"
#include "server/single_call.hpp"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

constexpr std::string_view models_path = "/v1/models";
constexpr std::uint64_t largest_list = std::uint64_t{16} << 20;

api_error no_such_model(std::string_view model) {
  return {.status = 404,
          .message = fmt::format("The model '{}' does not exist or you do not have access to it.",
                                 shortened(model)),
          .param = "model",
          .code = "model_not_found"};
}

// Encodes one segment of a path.
std::string percent_encoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= '0' && byte <= '9') || c == '-' || c == '.' || c == '_' ||
                       c == '~' || c == ':';
    if (plain) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", byte);
    }
  }
  return encoded;
}

// Returns whether the body is an error: one-api answers 200 for a model that it does not have.
bool is_error(std::string_view body) {
  const json_object reply = json_object::parse(body);
  return reply.has_value("error") && !reply.has_value("id");
}

// Returns the list without the models that the key may not use.
std::string models_for(const client_key& key, std::string body) {
  if (key.models.empty()) return body;
  auto list = nlohmann::ordered_json::parse(body, nullptr, false);
  if (!list.is_object() || !list["data"].is_array()) return R"({"object":"list","data":[]})";
  auto kept = nlohmann::ordered_json::array();
  for (const auto& model : list["data"]) {
    const bool named = model.is_object() && model.contains("id") && model["id"].is_string();
    if (named && key.may_use(model["id"].get<std::string>())) kept.push_back(model);
  }
  list["data"] = std::move(kept);
  return list.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

pass_through::pass_through(needs from, const pass_through_options& options)
    : needs_(std::move(from)),
      options_(options),
      time_(needs_.sender.time()),
      relays_(needs_.sender.relays()),
      retries_({options.max_attempts, options.backoff_base, options.backoff_cap, options.seed}),
      key_prefix_(new_object_id("sluice-")) {
  urgent_.emplace(relays_.gate(), start_gate::urgency::urgent);
  flex_.emplace(relays_.gate());
  relays_.join(*this);
}

pass_through::~pass_through() {
  if (urgent_) relays_.leave(*this);
}

std::string pass_through::new_idempotency_key() {
  const fmt::format_int number(++keys_made_);
  std::string key;
  key.reserve(key_prefix_.size() + 1 + number.size());
  return key.append(key_prefix_).append("-").append(number.data(), number.size());
}

void pass_through::on_relays_ended(stop_reason, const std::string& message,
                                   std::optional<double> again_at) {
  ended_reason_ = message.empty() ? "the relay does not serve requests" : message;
  again_at_ = again_at;
  for (live_call* each : calls_) each->end_wait();
}

std::optional<duration> pass_through::time_until_back() const {
  if (!again_at_) return std::nullopt;
  return std::chrono::duration_cast<duration>(
      std::chrono::duration<double>(std::max(0.0, *again_at_ - unix_now())));
}

void pass_through::task_ended(const std::exception_ptr& thrown) {
  try {
    if (thrown) std::rethrow_exception(thrown);
  } catch (const std::exception& fault) {
    if (needs_.listener != nullptr && needs_.listener->wants(severity::warning)) {
      needs_.listener->on_notice({.level = severity::warning, .run = {}, .text = fault.what()});
    }
  }
  if (--tasks_ == 0) all_ended_.wake_all();
}

asio::awaitable<void> pass_through::serve(http_server::exchange& client, const client_key& key) {
  std::string body;
  const auto length = client.head().content_length;
  body.reserve(static_cast<std::size_t>(std::min(length.value_or(0), options_.max_body_bytes)));
  while (body.size() != length) {
    const std::string_view piece = co_await client.read_piece();
    if (piece.empty()) break;
    if (piece.size() > options_.max_body_bytes - body.size()) {
      const api_error too_large{
          .status = 413,
          .message = fmt::format("The body of the request is larger than {} bytes.",
                                 options_.max_body_bytes)};
      co_await send_error(client, too_large);
      co_return;
    }
    body.append(piece);
  }
  auto call = read_call(client.head().path, std::move(body));
  std::optional<api_error> refusal;
  if (!call) {
    refusal = call.error();
  } else if (!key.may_use(call->asked.model)) {
    refusal = no_such_model(call->asked.model);
  }
  if (refusal) {
    const auto place =
        needs_.figures.call_began(key.name, call ? call->asked.model : "", time_.now());
    needs_.figures.call_ended(place, {.status = refusal->status, .error = refusal->kind()},
                              unix_now());
    co_await send_error(client, *refusal);
    co_return;
  }
  // The relays are tried again when their pause has ended, or if it is unknown how long the pause
  // lasts.
  if (!ended_reason_.empty() && (!again_at_ || *again_at_ <= unix_now())) {
    ended_reason_.clear();
    again_at_.reset();
    relays_.try_again();
  }
  task_began();
  std::exception_ptr fault;
  try {
    live_call one(*this, client, key, *std::move(call));
    co_await one.work();
  } catch (...) {
    fault = std::current_exception();
  }
  task_ended(nullptr);
  if (fault) std::rethrow_exception(fault);
}

// Relays do not count these calls against a limit, so this does not wait for one.
asio::awaitable<void> pass_through::show_models(http_server::exchange& client,
                                                const client_key& key) {
  const std::string_view path = client.head().path;
  std::string asked(models_path);
  if (path != models_path) {
    const std::string_view model = path.substr(models_path.size() + 1);
    if (!key.may_use(model)) {
      const api_error unknown = no_such_model(model);
      co_await send_error(client, unknown);
      co_return;
    }
    asked.append("/").append(percent_encoded(model));
  }
  task_began();
  exchange_group group;
  client.on_client_gone([&group] { group.abort(); });
  std::string trouble = "no relay is in use";
  bool answered = false;
  for (std::size_t i = 0; i < relays_.size() && !answered && !group.aborted(); ++i) {
    upstream::relay& relay = relays_[i];
    if (relay.resting) continue;
    kept_response reply(largest_list);
    http_client::outgoing request;
    request.path = asked;
    request.method = http_client::verb::get;
    request.group = &group;
    const exchange_end end = co_await relay.client.exchange(request, reply);
    if (end.end != exchange_end::how::complete || reply.head.status == 0 || reply.too_large) {
      trouble = end.message;
      relay.hidden.redact(trouble);
      continue;
    }
    std::string body = std::move(reply.body);
    relay.hidden.redact(body);
    if (path == models_path && openai::is_success(reply.head.status)) {
      body = models_for(key, std::move(body));
    }
    const header_fields fields = fields_for_client(reply.head.fields, relay.hidden);
    int status = reply.head.status;
    if (path != models_path && openai::is_success(status) && is_error(body)) status = 404;
    answered = true;
    co_await client.send(status, fields, body);
  }
  client.on_client_gone([] {});
  task_ended(nullptr);
  if (answered || group.aborted()) co_return;
  const api_error unusable{.status = 503,
                           .message = "The relay cannot be reached: " + trouble,
                           .type = "server_error",
                           .code = "relay_unavailable"};
  co_await send_error(client, unusable);
}

void pass_through::stop() {
  if (std::exchange(stopping_, true)) return;
  relays_.stopped();
  for (live_call* each : calls_) each->end_wait();
}

asio::awaitable<void> pass_through::ended() {
  while (tasks_ > 0) co_await all_ended_.wait();
  if (!urgent_) co_return;
  key_turns_.clear();
  flex_.reset();
  urgent_.reset();
  relays_.leave(*this);
}

}  // namespace sluice::server
