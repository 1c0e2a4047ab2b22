#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "http/exchange.hpp"

namespace sluice {

/// Stores a whole response, with a limited body: for rare requests whose reply is parsed at the
/// end. Called on the event loop's thread.
struct kept_response final : response_handler {
  explicit kept_response(std::uint64_t most_bytes) : most(most_bytes) {}

  void on_sent() override {}
  void on_head(response_head came) override { head = std::move(came); }
  body_need on_body(std::string_view bytes) override {
    too_large = bytes.size() > most - body.size();
    if (!too_large) body.append(bytes);
    return too_large ? body_need::nothing : body_need::more;
  }
  std::size_t held() const override { return body.size(); }

  const std::uint64_t most;
  response_head head;  ///< status 0: no head arrived
  std::string body;
  bool too_large = false;  ///< the body is longer than `most`; the rest was not read
};

}  // namespace sluice
