#include "server/server_watch.hpp"

#include <fmt/format.h>

#include <chrono>
#include <map>
#include <utility>

#include "json/text.hpp"
#include "server/json_answer.hpp"
#include "server/metrics.hpp"
#include "server/request_id.hpp"
#include "server/server_metrics.hpp"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

// The name for a request without a route. The path of a client is not used, because it could
// contain anything.
constexpr std::string_view no_route = "other";

header_fields fields_of(std::string_view content_type) {
  header_fields fields;
  fields.add("Content-Type", content_type);
  fields.add("Cache-Control", "no-store");
  return fields;
}

}  // namespace

asio::awaitable<bool> server_watch::serve(watched_call& call) {
  const auto& head = call.head();
  if (head.method != "GET" && head.method != "HEAD") co_return false;
  if (head.path == "/healthz") {
    call.set_route("/healthz");
    co_await show_health(call);
  } else if (head.path == "/readyz") {
    call.set_route("/readyz");
    co_await show_readiness(call);
  } else if (head.path == "/metrics") {
    call.set_route("/metrics");
    co_await show_metrics(call);
  } else {
    co_return false;
  }
  co_return true;
}

asio::awaitable<void> server_watch::show_health(watched_call& call) {
  const header_fields fields = fields_of("application/json");
  co_await call.send(200, fields, R"({"status":"ok"})");
}

// Checks the store, because its disk may have failed.
asio::awaitable<void> server_watch::show_readiness(watched_call& call) {
  std::string reason;
  if (stopping_) {
    reason = "the server is stopping";
  } else {
    try {
      co_await with_.disk.run([this] { (void)with_.records.has_file({}); });
    } catch (const store::store_error&) {
      // The message of the store may contain a path, and this route needs no key.
      reason = "the store cannot be used; the log of the server has more";
    }
  }
  const header_fields fields = fields_of("application/json");
  if (reason.empty()) {
    co_await call.send(200, fields, R"({"status":"ready"})");
    co_return;
  }
  const std::string body =
      fmt::format(R"({{"status":"not_ready","reason":{}}})", json_quote(reason));
  co_await call.send(503, fields, body);
}

asio::awaitable<void> server_watch::show_metrics(watched_call& call) {
  with_.runner.count_now();
  std::map<store::batch_status, std::uint64_t> open;
  process_figures process;
  bool failed = false;
  try {
    co_await with_.disk.run([&] {
      process = read_process_figures();
      for (const auto& batch : with_.records.open_batches()) ++open[batch.status];
    });
  } catch (const store::store_error&) {
    failed = true;
  }
  // The answer is sent without the store's figures: the other figures are most useful when
  // something is wrong.
  if (failed) with_.figures.store_failed();
  const std::string body =
      server_metrics({.requests = requests_,
                      .figures = with_.figures.all(),
                      .now = with_.time.now(),
                      .runs = with_.sender.now(),
                      .requests_per_minute = with_.sender.requests_per_minute(),
                      .relays = with_.sender.relay_statuses(),
                      .open_batches = std::move(open),
                      .batches_at_work = with_.runner.active(),
                      .connections = with_.connections(),
                      .process = process});
  const header_fields fields = fields_of(metrics_text::content_type);
  co_await call.send(200, fields, body);
}

void server_watch::answered(const watched_call& call, time_point began) {
  const duration took = with_.time.now() - began;
  requests_.add(call.route().empty() ? no_route : call.route(), call.status(), took);
  if (!with_.log) return;
  with_.log(access_line({.unix_time = with_.time.unix_now(),
                         .key = call.client_name(),
                         .peer = call.head().peer,
                         .method = call.head().method,
                         .route = std::string(call.route()),
                         .status = call.status(),
                         .bytes_in = call.bytes_in(),
                         .bytes_out = call.bytes_out(),
                         .duration_ms = std::chrono::duration<double, std::milli>(took).count(),
                         .request_id = call.id()}));
}

http_server::refusal_answer server_watch::refused(int status, std::string body) {
  const std::string id = request_id_of(std::nullopt);
  requests_.add(no_route, status, duration::zero());
  if (with_.log) {
    with_.log(access_line({.unix_time = with_.time.unix_now(),
                           .key = {},
                           .peer = {},
                           .method = {},
                           .route = {},
                           .status = status,
                           .bytes_in = 0,
                           .bytes_out = body.size(),
                           .duration_ms = 0,
                           .request_id = id}));
  }
  http_server::refusal_answer answer;
  answer.fields = json_fields();
  answer.fields.add(request_id_field, id);
  answer.body = std::move(body);
  return answer;
}

}  // namespace sluice::server
