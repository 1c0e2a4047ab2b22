#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "openai/sse_parser.hpp"
#include "sluice/usage.hpp"

namespace sluice::server {

/// Reads the usage of an Anthropic Messages reply from its bytes, as a whole object or as a stream.
/// Pure; not thread safe; one object for each reply.
class messages_usage {
 public:
  static constexpr std::size_t longest_body = std::size_t{4} << 20;

  void head(bool stream) { stream_ = stream; }
  void body(std::string_view bytes);
  /// Returns the usage. Nothing if the reply has none, or if it was not in the first `longest_body`
  /// bytes that are kept.
  std::optional<token_usage> finish();
  /// Returns whether the whole message has arrived.
  bool complete() const noexcept { return complete_; }
  std::size_t held() const noexcept { return body_.size() + parser_.held(); }

 private:
  void take(std::string_view usage);
  void on_event(std::string_view data);

  bool stream_ = false;
  bool complete_ = false;
  sse_parser parser_;
  std::string body_;
  std::optional<token_usage> found_;
  std::int64_t input_ = 0;
};

}  // namespace sluice::server
