#pragma once

#include <simdjson.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "openai/chunk.hpp"
#include "openai/piece_count.hpp"
#include "openai/piecewise_object.hpp"
#include "openai/repeated_chunk.hpp"
#include "sluice/job.hpp"

namespace sluice::openai {

/// Joins the chunks of a streamed chat or text completion into the object that the same call
/// without `stream` would have returned. All values are kept as JSON text.
///
/// Not thread safe. The body may be malformed if the chunks were: validate it.
class stream_assembler {
 public:
  /// `choices`: the number of choices that the request asked for (`n`).
  stream_assembler(endpoint target, unsigned choices);
  stream_assembler(const stream_assembler&) = delete;  // `seen_` points into it
  stream_assembler& operator=(const stream_assembler&) = delete;
  ~stream_assembler() = default;

  /// Adds one chunk. Throws simdjson::simdjson_error on malformed JSON.
  chunk_meaning add(simdjson::ondemand::object chunk);
  /// The chunk that was just added is valid, and `chunk` is its text, of which the views in its
  /// object are parts. add_repeated() compares the next chunk with it.
  void remember(std::string_view chunk);
  /// Adds a chunk that differs only in its piece of text from the one before it. The effect is the
  /// same as that of add(). False: it is not such a chunk, and nothing was added.
  bool add_repeated(std::string_view chunk);

  /// Whether every choice has its finish reason: those that the request asked for and those that
  /// came.
  bool complete() const;
  /// Whether every choice that came has its finish reason, and the usage followed. It is the whole
  /// reply if the relay ignores the number of choices that the request asked for. So treat it as
  /// complete only after the stream has ended without an error.
  bool billed_as_complete() const;
  /// Whether it is complete, and no content came after that. Some relays send a finish reason with
  /// every chunk. If content follows a finish reason, the reply is settled again only after the
  /// next finish reason or usage.
  bool settled() const { return complete() && !went_on_; }
  /// Memory in use, in bytes.
  std::size_t held() const noexcept;
  /// The pieces so far.
  piece_count pieces() const noexcept { return pieces_; }
  /// The text of the first choice so far, as a JSON string without its quotes. It may end inside an
  /// escape. Valid until the next chunk.
  std::string_view text() const;
  /// The complete object.
  std::string body() const;

 private:
  /// Tool calls in the order of their indices. Some relays leave the index out, or give all calls
  /// the same one. Then a new id starts a new call, or without ids a new name, or the same name in
  /// another element of the same list.
  struct tool_calls {
    struct call {
      std::string id;             ///< the first id that it got
      std::string name;           ///< the last name that it got, as JSON; empty: none
      piecewise_object members;   ///< id, type and other members of the relay
      piecewise_object function;  ///< name, arguments
      piecewise_object custom;    ///< name, input
    };
    std::map<std::int64_t, call> by_place;
    std::map<std::int64_t, std::int64_t> by_index;  ///< the place of the last call with this index
    std::map<std::string, std::int64_t, std::less<>> by_id;
    std::int64_t latest = -1;                 ///< the place of the last piece
    std::vector<std::int64_t> named_in_list;  ///< the places that got a name in the present list

    void add(simdjson::ondemand::object piece);
    std::size_t held() const noexcept;
    std::int64_t place_of(simdjson::ondemand::object& piece, const std::string& id,
                          std::string_view name);
    bool was_named(std::int64_t place) const;
    void write(std::string& out) const;
  };

  /// The content of a message.
  struct words {
    piecewise_object members;  ///< content, refusal, reasoning, and other members of the relay
    piecewise_object function_call;
    piecewise_object audio;
    tool_calls tools;

    std::size_t held() const noexcept;
  };

  struct choice {
    piecewise_object members;  ///< `text` of a completion, and other members of the relay
    words message;
    bool in_pieces = false;  ///< its deltas have content, so they make up the message
    piecewise_object logprobs;
    std::string finish_reason;  ///< with quotes; empty: not ended
  };

  /// What the current chunk contains, to find out whether the next chunk repeats it.
  struct chunk_content {
    unsigned pieces = 0;               ///< of text
    piecewise_object* into = nullptr;  ///< to which the last piece was added
    std::string_view key;              ///< under this name, a constant
    std::string_view text;             ///< the piece
    const choice* of = nullptr;        ///< its choice
    std::string_view filler;           ///< a string that means nothing
    bool more = false;  ///< anything whose effect would not be the same if it came once more
  };

  // These return whether the added values contained content, reasoning, a refusal or a tool call.
  bool add_choices(simdjson::ondemand::value& list);
  bool add_choice(simdjson::ondemand::object piece);
  bool add_words(words& into, simdjson::ondemand::object delta, const choice& of);
  bool add_speech(piecewise_object& into, std::string_view key, simdjson::ondemand::value value);
  bool add_part(piecewise_object& into, std::string_view key, simdjson::ondemand::value value);
  bool add_text(piecewise_object& into, std::string_view key, std::string_view text);
  bool add_calls(words& into, simdjson::ondemand::value& calls);
  void count_piece(std::string_view key);
  bool all_ended() const { return ended_ == choices_.size(); }
  bool counts_tokens(std::string_view usage);
  std::string groq_usage(std::string_view x_groq);
  bool is_mini_max_error(std::string_view status);
  void note_content(const choice& of);
  void end(choice& ended, std::string_view reason, bool with_content);
  void write_choice(std::string& out, std::int64_t index, const choice& written) const;
  static void write_message(std::string& out, const words& message);

  endpoint target_;
  std::size_t expected_;
  std::size_t ended_ = 0;
  piece_count pieces_;
  bool went_on_ = false;          ///< content came after the last finish reason or usage
  bool usage_told_ = false;       ///< a usage with token counts has come
  bool groq_usage_told_ = false;  ///< the same for the usage in `x_groq`
  chunk_content seen_;
  repeated_chunk repeated_;
  chunk_reader inner_;     ///< for values that are whole in a chunk and parsed separately
  chunk_reader parts_;     ///< for the parts of a content
  chunk_reader thoughts_;  ///< for values inside such a part
  std::vector<std::pair<std::string_view, std::string_view>>
      told_;  ///< members of the current chunk, until it is known to belong to this endpoint
  piecewise_object top_;
  std::map<std::int64_t, choice> choices_;
};

}  // namespace sluice::openai
