#pragma once

#include <simdjson.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "openai/chunk.hpp"
#include "openai/piece_count.hpp"
#include "openai/piecewise_object.hpp"

namespace sluice::openai {

/// Follows the events of a streamed `/v1/responses` call to the one that carries the whole
/// response. Some relays leave its output, or the items in it, empty there. So each item is built
/// from what its own events tell, too, and of the three forms in which it may have come (inside of
/// the response, whole in an event of its own, in pieces) the one that says most stands.
///
/// Not thread safe. The body is only as well formed as its events were: validate it.
class response_stream {
 public:
  /// Takes in one event; `type` is its SSE type, for relays that leave it out of the data. Throws
  /// simdjson::simdjson_error on malformed JSON.
  chunk_meaning add(std::string_view type, simdjson::ondemand::object event);

  bool complete() const { return !body_.empty(); }
  /// The `response` object as it was when it began; empty before.
  const std::string& opened() const { return opened_; }
  /// It says that it goes on without this connection.
  bool in_background() const;
  /// Bytes that are kept, about.
  std::size_t held() const noexcept { return held_ + body_.size(); }
  /// Of what has come so far: text, and reasoning, refusal or arguments beside it.
  piece_count pieces() const noexcept { return pieces_; }
  /// The `response` object of the event that ended the stream; empty before.
  const std::string& body() const { return body_; }

 private:
  struct told;

  /// A text that comes in pieces, or whole, or both. Between its quotes.
  struct text {
    std::string joined;
    std::string whole;
    bool counted = false;  ///< among the pieces

    bool empty() const { return joined.empty() && whole.empty(); }
    /// The longer of the two.
    const std::string& fuller() const;
  };
  /// One part of an item's `content` or `summary`.
  struct part {
    std::string raw;   ///< as an event of its own told it, the last time
    std::string type;  ///< what it must be, by the event that a piece of it came with
    std::string key;   ///< the member that is its text: `text` or `refusal`
    text said;
    piecewise_object lists;  ///< logprobs and annotations
  };
  struct item {
    std::string id;                  ///< the first one given
    bool steady = false;             ///< another event has called it so, too
    std::string type;                ///< empty: unknown
    std::optional<std::int64_t> at;  ///< its `output_index`
    std::string added;               ///< as it was when it began
    std::string done;                ///< as its done event has it
    piecewise_object call;           ///< name and call_id, where the pieces of a call have them
    std::map<std::string, text, std::less<>> texts;              ///< arguments, input, code
    std::map<std::pair<std::string, std::int64_t>, part> parts;  ///< by list and index
  };

  /// Null: there are too many.
  item* item_of(const told& event, std::string_view kind);
  void take_item(const told& event, bool whole);
  void take_piece(const told& event);
  void count_piece(std::string_view kind);
  std::string end(std::string_view type, std::string_view response);
  std::string merged_output(const std::vector<std::string>& own, std::string_view status);
  static std::string built(const item& from, std::string_view status);
  static std::string built_part(const part& from);

  piece_count pieces_;
  std::size_t held_ = 0;
  std::vector<item> items_;  ///< in the order in which they began
  std::string opened_;       ///< the response as it was when it began
  std::string body_;
};

}  // namespace sluice::openai
