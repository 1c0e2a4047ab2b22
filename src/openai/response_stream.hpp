#pragma once

#include <simdjson.h>

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "openai/chunk.hpp"
#include "openai/piece_count.hpp"

namespace sluice::openai {

/// Follows the events of a streamed `/v1/responses` call to the one that carries the whole
/// response. Some relays leave its output empty there: the items that were told whole are its
/// output then.
///
/// Not thread safe. The body is only as well formed as its event was: validate it.
class response_stream {
 public:
  /// Takes in one event; `type` is its SSE type, for relays that leave it out of the data. Throws
  /// simdjson::simdjson_error on malformed JSON.
  chunk_meaning add(std::string_view type, simdjson::ondemand::object event);

  bool complete() const { return !body_.empty(); }
  /// Of what has come so far: text, and reasoning, refusal or arguments beside it.
  piece_count pieces() const noexcept { return pieces_; }
  /// The `response` object of the event that ended the stream; empty before.
  const std::string& body() const { return body_; }

 private:
  std::string with_output(std::string_view response);

  piece_count pieces_;
  std::map<std::size_t, std::string> items_;  ///< the items that are whole, by their place
  chunk_reader inner_;                        ///< for the response in the last event
  std::string body_;
};

}  // namespace sluice::openai
