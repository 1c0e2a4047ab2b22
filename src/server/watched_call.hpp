#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "http/server/server.hpp"

namespace sluice::server {

/// Wraps an exchange. It adds the request's id to the answer, and records the status and the number
/// of bytes. Otherwise it forwards to the wrapped exchange. Not thread safe.
class watched_call final : public http_server::exchange {
 public:
  /// `call` must outlive it.
  explicit watched_call(http_server::exchange& call);

  /// Sets the route that answers the request. The text must live as long as the program.
  void set_route(std::string_view route) noexcept { route_ = route; }
  /// Sets the name of the client's key.
  void set_client(std::string name) { client_ = std::move(name); }

  const std::string& id() const noexcept { return id_; }
  std::string_view route() const noexcept { return route_; }
  const std::string& client_name() const noexcept { return client_; }
  int status() const noexcept { return status_; }  ///< 0 if no answer was begun
  std::uint64_t bytes_in() const noexcept { return bytes_in_; }
  std::uint64_t bytes_out() const noexcept { return bytes_out_; }

  const http_server::request_head& head() const noexcept override { return call_.head(); }
  boost::asio::awaitable<std::string_view> read_piece() override;
  boost::asio::awaitable<bool> send(int status, const header_fields& fields,
                                    std::string_view body) override;
  boost::asio::awaitable<bool> begin(int status, const header_fields& fields,
                                     std::optional<std::uint64_t> length) override;
  boost::asio::awaitable<bool> write(std::string_view piece) override;
  boost::asio::awaitable<bool> finish() override { return call_.finish(); }
  void on_client_gone(std::function<void()> act) override { call_.on_client_gone(std::move(act)); }
  http_server::client_state client() override { return call_.client(); }
  bool acknowledged() override { return call_.acknowledged(); }
  boost::asio::awaitable<bool> write_raw(std::string_view first, std::string_view second) override {
    return call_.write_raw(first, second);
  }
  void end_raw(http_server::raw_end how) override { call_.end_raw(how); }

 private:
  header_fields with_id(const header_fields& fields) const;

  http_server::exchange& call_;
  const std::string id_;
  std::string_view route_;
  std::string client_;
  int status_ = 0;
  std::uint64_t bytes_in_ = 0;
  std::uint64_t bytes_out_ = 0;
};

}  // namespace sluice::server
