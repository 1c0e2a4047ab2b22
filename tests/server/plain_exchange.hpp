#pragma once

#include <gtest/gtest.h>

#include <string_view>

#include "http/server/server.hpp"

namespace sluice::server {

/// A request without a connection, for handlers that send no raw replies.
class plain_exchange : public http_server::exchange {
 public:
  http_server::client_state client() override { return http_server::client_state::connected; }
  bool acknowledged() override { return true; }
  boost::asio::awaitable<bool> write_raw(std::string_view, std::string_view) override {
    ADD_FAILURE() << "a raw reply";
    co_return false;
  }
  void end_raw(http_server::raw_end) override { ADD_FAILURE() << "a raw reply"; }
};

}  // namespace sluice::server
