#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "openai/sse_parser.hpp"
#include "sluice/prices.hpp"
#include "sluice/usage.hpp"

namespace sluice::server {

/// Reads the usage of an Anthropic Messages reply from its bytes, as a whole object or as a stream.
/// Pure; not thread safe; one object for each reply.
class messages_usage {
 public:
  static constexpr std::size_t longest_body = std::size_t{4} << 20;

  void body(std::string_view bytes);
  /// The reply has ended. Returns its usage; nothing if the message is not whole, if it has no
  /// count of its input or its output, or if a whole object is longer than `longest_body`.
  std::optional<token_usage> finish();
  /// Returns whether the whole message has arrived; call finish() first. An object that is longer
  /// than `longest_body` counts as a message.
  bool complete() const noexcept { return complete_; }
  /// The service tier, the speed and the place of the reply, as far as it names them. The times are
  /// not set.
  const serving& how() const noexcept { return how_; }
  std::size_t held() const noexcept { return body_.size() + parser_.held(); }

 private:
  void take(std::string_view usage);
  void on_event(std::string_view data);

  bool begun_ = false;
  bool stream_ = false;
  bool complete_ = false;
  sse_parser parser_;
  std::string body_;
  serving how_;
  token_usage found_;                  // without `input_` and `output_`
  std::optional<std::int64_t> input_;  // without the parts that were cached or written to the cache
  std::optional<std::int64_t> output_;
};

}  // namespace sluice::server
