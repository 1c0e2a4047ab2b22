#pragma once

#include <simdjson.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::openai {

/// The meaning of one JSON object of a stream.
enum class chunk_meaning : std::uint8_t {
  progress,  ///< a piece of the reply, or nothing of interest
  last,      ///< the reply is complete, and nothing can follow
  stray,     ///< none of the members of this endpoint's chunks; perhaps an error in another shape
  error,     ///< the relay reports an error
  garbage,   ///< not a JSON object
};

/// Parses JSON objects, one after the other, and reuses its buffers. The parser is lazy: it finds
/// members and their text, and checks only what is needed for that. Therefore JSON that is built
/// from these parts must be validated as a whole.
///
/// Not thread safe. All functions throw simdjson::simdjson_error if a text is not JSON.
class chunk_reader {
 public:
  /// Parses `text`, which must be a JSON object. The result is valid until the next call. Bytes
  /// that are not UTF-8 are replaced with U+FFFD.
  simdjson::ondemand::object object(std::string_view text);

  /// The same for a text that json_fault() has accepted; faster, since less is left to check.
  simdjson::ondemand::object checked_object(std::string_view text);

  /// Throws if more text follows the object. Call it after the object was read to its end.
  void expect_end();

  /// The text of the object: the one that was read, or a repaired copy. Views of the object's
  /// values are parts of it. Valid until the next call.
  std::string_view text() const { return {padded_.data(), size_}; }

  /// Frees the memory that a large object needed. Everything that was read from it becomes invalid.
  void let_go();
  /// Memory in use, in bytes.
  std::size_t held() const noexcept;

 private:
  void load(std::string_view text, char behind);

  simdjson::ondemand::parser parser_;
  simdjson::ondemand::document document_;
  std::string padded_;
  std::size_t size_ = 0;  ///< of the text in `padded_`
};

/// The text of the value as in the JSON, without white space around it. Consumes the value.
std::string_view raw_json(simdjson::ondemand::value& value);

/// The content of a JSON string without its quotes, with escapes unchanged. `raw` is the string
/// with its quotes.
std::string_view inside_quotes(std::string_view raw);

/// Whether both JavaScript and Python treat the value as true: not null, false, 0, "" or empty.
bool is_truthy(std::string_view raw);

/// Whether an `error` member reports an error. Some relays send one with every chunk, with empty
/// members.
bool says_error(std::string_view raw);

/// The integer in a JSON number, or in a string that contains one. Relays written in loosely typed
/// languages send an index as "0" or 0.0.
std::optional<std::int64_t> whole_number(std::string_view raw);

/// Throws if a value is nested deeper than any reply may be (deepest_body). For functions that call
/// themselves for each level, so that hostile JSON does not use up the stack.
void check_depth(std::size_t depth);

bool is_string(simdjson::ondemand::value& value);
bool is_null(simdjson::ondemand::value& value);

}  // namespace sluice::openai
