#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>

#include "openai/chunk.hpp"

namespace sluice::openai {

/// Follows the events of a streamed `/v1/responses` call to the one that carries the whole
/// response.
///
/// Not thread safe. The body is only as well formed as its event was: validate it.
class response_stream {
 public:
  /// Takes in one event; `type` is its SSE type, for relays that leave it out of the data. Throws
  /// simdjson::simdjson_error on malformed JSON.
  chunk_meaning add(std::string_view type, simdjson::ondemand::object event);

  bool complete() const { return !body_.empty(); }
  /// A piece of text, reasoning, refusal or arguments has come.
  bool content_began() const { return content_began_; }
  /// The `response` object of the event that ended the stream; empty before.
  const std::string& body() const { return body_; }

 private:
  bool content_began_ = false;
  std::string body_;
};

}  // namespace sluice::openai
