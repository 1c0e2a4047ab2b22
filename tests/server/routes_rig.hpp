#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "server/api.hpp"
#include "server/batch_sums.hpp"
#include "server/plain_exchange.hpp"
#include "server/server_figures.hpp"
#include "server/server_rig.hpp"

namespace sluice::server {

/// A request whose answer is kept.
class fake_exchange final : public plain_exchange {
 public:
  explicit fake_exchange(std::string method, std::string path, std::string query = {}) {
    head_.method = std::move(method);
    head_.path = std::move(path);
    head_.query = std::move(query);
  }
  http_server::request_head& request() { return head_; }
  const http_server::request_head& head() const noexcept override { return head_; }
  boost::asio::awaitable<std::string_view> read_piece() override {
    piece_ = std::exchange(unread, {});
    co_return std::string_view(piece_);
  }
  boost::asio::awaitable<bool> send(int answered, const header_fields& with,
                                    std::string_view content) override {
    EXPECT_EQ(status, 0) << "a second answer";
    status = answered;
    fields = with;
    body = content;
    co_return true;
  }
  boost::asio::awaitable<bool> begin(int answered, const header_fields& with,
                                     std::optional<std::uint64_t>) override {
    status = answered;
    fields = with;
    co_return true;
  }
  boost::asio::awaitable<bool> write(std::string_view piece) override {
    body += piece;
    co_return true;
  }
  boost::asio::awaitable<bool> finish() override { co_return true; }
  void on_client_gone(std::function<void()>) override {}

  std::string field(std::string_view name) const {
    return std::string(fields.last(name).value_or(""));
  }
  nlohmann::json json() const { return nlohmann::json::parse(body); }

  int status = 0;
  header_fields fields;
  std::string body;
  std::string unread;  // the unread part of the request

 private:
  http_server::request_head head_;
  std::string piece_;
};

/// The routes of a server, without HTTP.
struct routes_rig : server_rig {
  routes_rig() { runner_settings.first_wait = std::chrono::hours{1}; }
  ~routes_rig() override { abort(); }  // the runner still uses `figures`

  fake_exchange ask(fake_exchange call) {
    EXPECT_EQ(serve(call), nullptr);
    return call;
  }
  /// Returns what the routes throw: the server then closes the connection.
  std::exception_ptr serve(fake_exchange& call) {
    runner().count_in(figures);
    if (!routes) {
      calls.emplace(pass_through::needs{.loop = loop,
                                        .disk = disk,
                                        .sender = sender(),
                                        .prices = prices,
                                        .money = runner().money(),
                                        .figures = figures,
                                        .limit_of = [](const std::string&) { return nullptr; }},
                    pass_through_options());
      watch.emplace(server_watch::needs{.time = time,
                                        .disk = disk,
                                        .records = records,
                                        .sender = sender(),
                                        .runner = runner(),
                                        .connections = [] { return std::size_t{0}; },
                                        .figures = figures,
                                        .log = {}});
      routes.emplace(
          api_parts{.disk = disk,
                    .time = time,
                    .records = records,
                    .folder = *used_folder,
                    .files = files,
                    .runner = runner(),
                    .calls = *calls,
                    .keys = keys,
                    .names = {},
                    .is_open = false,
                    .limits = {},
                    .estimate = [this](const std::string& path) { return estimate(path); },
                    .listener = &notices,
                    .sender = sender(),
                    .figures = figures,
                    .sums = sums,
                    .watch = *watch});
    }
    bool done = false;
    std::exception_ptr fault;
    watched_call watched(call);
    boost::asio::co_spawn(loop, routes->serve(watched), [&](std::exception_ptr thrown) {
      fault = std::move(thrown);
      done = true;
    });
    run([&] { return done; });
    return fault;
  }
  fake_exchange get(const std::string& path, const std::string& key = {},
                    const std::string& query = {}) {
    fake_exchange call("GET", path, query);
    if (!key.empty()) call.request().fields.add("Authorization", "Bearer " + key);
    return ask(std::move(call));
  }
  fake_exchange post(const std::string& path, std::string body, const std::string& key = {}) {
    fake_exchange call("POST", path);
    call.unread = std::move(body);
    if (!key.empty()) call.request().fields.add("Authorization", "Bearer " + key);
    return ask(std::move(call));
  }
  /// Uploads a file of a batch.
  fake_exchange upload(const std::string& content, const std::string& name = "in.jsonl") {
    fake_exchange call("POST", "/v1/files");
    call.request().fields.add("Content-Type", "multipart/form-data; boundary=bound");
    call.unread =
        "--bound\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
        "--bound\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" +
        name + "\"\r\n\r\n" + content + "\r\n--bound--\r\n";
    return ask(std::move(call));
  }
  fake_exchange create_batch(const std::string& input_file_id) {
    return post("/v1/batches", R"({"input_file_id":")" + input_file_id +
                                   R"(","endpoint":"/v1/chat/completions",)" +
                                   R"("completion_window":"24h"})");
  }
  nlohmann::json status(const std::string& key = {}) { return get("/sluice/status", key).json(); }

  data_folder* used_folder = &folder;  ///< the folder of the routes; the runner uses `folder`
  std::function<std::string(const std::string& path)> estimate = [](const std::string&) {
    return std::string();
  };
  server_figures figures{time.unix_now()};
  kept_sums sums{disk, records, time};
  std::optional<pass_through> calls;
  std::optional<server_watch> watch;
  std::optional<api> routes;
};

}  // namespace sluice::server
