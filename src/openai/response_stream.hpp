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

/// Follows the events of a streamed `/v1/responses` call until the event that contains the whole
/// response. In that event, some relays leave the output or its items empty. So each item is also
/// built from its own events. An item can come in three forms: in the response, whole in its own
/// event, or in pieces. The form with the most content is used.
///
/// Not thread safe. The body may be malformed if the events were: validate it.
class response_stream {
 public:
  /// Adds one event. `type` is its SSE type, for relays that leave the type out of the data. Throws
  /// simdjson::simdjson_error on malformed JSON.
  chunk_meaning add(std::string_view type, simdjson::ondemand::object event);

  bool complete() const { return !body_.empty(); }
  /// The `response` object as it was at the beginning of the stream; empty before that.
  const std::string& opened() const { return opened_; }
  /// Whether the response continues in the background after this connection ends.
  bool in_background() const noexcept { return in_background_; }
  /// Memory in use, in bytes; an estimate.
  std::size_t held() const noexcept { return held_ + body_.size(); }
  /// The pieces so far: `content` counts text; `any` also counts reasoning, refusals and arguments.
  piece_count pieces() const noexcept { return pieces_; }
  /// The `response` object at the end of the stream; empty before that.
  const std::string& body() const { return body_; }

 private:
  struct told;

  /// A text that comes in pieces, whole, or both. Without quotes.
  struct text {
    std::string joined;
    std::string whole;
    bool counted = false;  ///< it is included in pieces()

    bool empty() const { return joined.empty() && whole.empty(); }
    /// The longer of the two.
    const std::string& fuller() const;
  };
  /// One part of an item's `content` or `summary`.
  struct part {
    std::string raw;         ///< the last version that came whole in its own event
    std::size_t weight = 0;  ///< the amount of content in `raw`
    std::string type;        ///< the expected type, derived from the event of its first piece
    std::string key;         ///< name of the member with its text: `text` or `refusal`
    text said;
    piecewise_object lists;  ///< logprobs and annotations
  };
  struct item {
    std::string id;                  ///< the first id that it got
    bool steady = false;             ///< a second event had the same id
    std::string type;                ///< empty: unknown
    std::optional<std::int64_t> at;  ///< its `output_index`
    std::string added;               ///< the item as it was when it began
    std::string done;                ///< the item in its done event
    piecewise_object call;           ///< name and call_id, if the pieces of a call contain them
    std::map<std::string, text, std::less<>> texts;              ///< arguments, input, code
    std::map<std::pair<std::string, std::int64_t>, part> parts;  ///< key: list and index
  };

  void open(std::string_view response);
  /// Null: there are too many items.
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
  std::string opened_;       ///< the response as it was when the stream began
  bool in_background_ = false;
  std::string body_;
};

}  // namespace sluice::openai
