#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "http/server/server.hpp"
#include "support/manual_clock.hpp"

namespace sluice::http_server {

/// A server on a real port and a manual clock.
struct server_rig : testing::Test {
  explicit server_rig(request_handler answer) : handler(std::move(answer)) {}

  server& start() {
    served.emplace(loop, time, options, handler, [](int status, std::string_view message) {
      return refusal_answer{{}, "refused " + std::to_string(status) + ": " + std::string(message)};
    });
    return *served;
  }
  /// Runs the loop until `until` is true, without moving the clock.
  void run(const std::function<bool()>& until) {
    for (;;) {
      loop.restart();
      // The limit is needed because a handler may post new work again and again.
      for (int i = 0; i < 1000 && loop.poll_one() > 0; ++i) {
      }
      on_turn();
      if (until()) return;
      loop.run_for(std::chrono::milliseconds{1});
    }
  }
  /// Called before each check of the condition of run().
  virtual void on_turn() {}

  boost::asio::io_context loop{1};
  test::manual_clock time;
  server_options options;
  request_handler handler;
  std::optional<server> served;
};

}  // namespace sluice::http_server
