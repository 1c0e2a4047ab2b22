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
#include "sluice/job.hpp"

namespace sluice::openai {

/// Puts the chunks of a streamed chat or text completion together into the object that the same
/// call without `stream` would have returned. Everything is kept as JSON text.
///
/// Not thread safe. The body is only as well formed as the chunks were: validate it.
class stream_assembler {
 public:
  /// `choices`: how many the request asked for, with `n`.
  stream_assembler(endpoint target, unsigned choices);

  /// Takes in one chunk. Throws simdjson::simdjson_error on malformed JSON.
  chunk_meaning add(simdjson::ondemand::object chunk);

  /// Every choice, of those asked for and of those that came, has its finish reason.
  bool complete() const;
  /// It is complete, and the last of it was no content: some relays give a finish reason with
  /// every chunk, so that content behind one takes it back until it, or the usage, is told again.
  bool settled() const { return complete() && !went_on_; }
  /// Bytes that are kept.
  std::size_t held() const noexcept;
  /// Of what has come so far.
  piece_count pieces() const noexcept { return pieces_; }
  /// The text of the first choice so far, as a JSON string without its quotes. It may end inside an
  /// escape. Valid until the next chunk.
  std::string_view text() const;
  /// The whole object.
  std::string body() const;

 private:
  /// Tool calls in the order of their indices. Relays leave the index out or give the same one to
  /// every call: a new id, or else a new name, tells them apart then.
  struct tool_calls {
    struct call {
      std::string id;             ///< the first one given
      piecewise_object members;   ///< id, type and whatever a relay adds
      piecewise_object function;  ///< name, arguments
      piecewise_object custom;    ///< name, input
    };
    std::map<std::int64_t, call> by_place;
    std::map<std::int64_t, std::int64_t> by_index;  ///< the place of the call opened there last
    std::map<std::string, std::int64_t, std::less<>> by_id;
    std::int64_t latest = -1;  ///< the place that the last piece went to

    void add(simdjson::ondemand::object piece);
    std::size_t held() const noexcept;
    std::int64_t place_of(simdjson::ondemand::object& piece, const std::string& id);
    void write(std::string& out) const;
  };

  /// What a message says.
  struct words {
    piecewise_object members;  ///< content, refusal, reasoning, and whatever a relay adds
    piecewise_object function_call;
    piecewise_object audio;
    tool_calls tools;

    std::size_t held() const noexcept;
  };

  struct choice {
    piecewise_object members;  ///< `text` of a completion, and whatever a relay adds
    words message;
    bool in_pieces = false;  ///< its deltas say something: they are the message
    piecewise_object logprobs;
    std::string finish_reason;  ///< with its quotes; empty: not ended
  };

  // These tell whether content, reasoning, refusal or a tool call came with what they added.
  bool add_choices(simdjson::ondemand::value& list);
  bool add_choice(simdjson::ondemand::object piece);
  bool add_words(words& into, simdjson::ondemand::object delta, const choice& of);
  bool add_speech(piecewise_object& into, std::string_view key, simdjson::ondemand::value value);
  bool add_part(piecewise_object& into, std::string_view key, simdjson::ondemand::value value);
  bool add_calls(words& into, simdjson::ondemand::value& calls);
  void count_piece(std::string_view key);
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
  bool went_on_ = false;  ///< content came behind a finish reason, and nothing that ends it since
  bool usage_told_ = false;       ///< one that counts tokens has come
  bool groq_usage_told_ = false;  ///< likewise inside of `x_groq`
  chunk_reader inner_;            ///< for what a chunk holds whole, and is read for itself
  chunk_reader parts_;            ///< for a part of a content
  chunk_reader thoughts_;         ///< for what is nested in one
  std::vector<std::pair<std::string_view, std::string_view>>
      told_;  ///< the chunk's own members, until it is known to be one of this endpoint's
  piecewise_object top_;
  std::map<std::int64_t, choice> choices_;
};

}  // namespace sluice::openai
