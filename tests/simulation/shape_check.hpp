#pragma once

#include <optional>
#include <string>

#include "sluice/reply_check.hpp"

namespace sluice::simulation {

/// Rejects each reply with a text that begins with a question mark. The reason for the rejection is
/// this text: it names the request and the number of the attempt at the relay.
class shape_check final : public reply_check {
 public:
  std::optional<std::string> why_unchecked(const request& /*asked*/) const override {
    return std::nullopt;
  }
  std::optional<std::string> fault_of(const request& /*asked*/, const reply& whole) const override {
    const std::size_t begin = whole.body.find("\"? ");
    if (begin == std::string::npos) return std::nullopt;
    return whole.body.substr(begin + 1, whole.body.find('"', begin + 1) - begin - 1);
  }
  std::optional<std::string> body_with_reason(const request& asked, const reply& /*rejected*/,
                                              const std::string& reason) const override {
    std::string body = asked.body;
    const std::size_t end = body.find("}]", body.find("\"messages\":"));
    if (end == std::string::npos) return std::nullopt;
    return body.insert(end + 1, R"(,{"role":"assistant","content":")" + reason +
                                    R"("},{"role":"user","content":"No question marks."})");
  }
};

}  // namespace sluice::simulation
