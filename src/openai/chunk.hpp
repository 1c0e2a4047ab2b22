#pragma once

#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::openai {

/// What one JSON object of a stream says.
enum class chunk_meaning : std::uint8_t {
  progress,  ///< a piece of the reply, or nothing of interest
  last,      ///< the reply is whole, and nothing can follow
  stray,     ///< nothing that this endpoint's chunks have: perhaps an error in a shape of its own
  error,     ///< the relay gave up
  garbage,   ///< it is no JSON object at all
};

/// Walks JSON objects, one after the other, in buffers that are kept from one to the next. The walk
/// is lazy: it finds members and their text, and checks no more than it must; what is put together
/// from them has to be validated as a whole.
///
/// Not thread safe. Everything here throws simdjson::simdjson_error on a text that is no JSON.
class chunk_reader {
 public:
  /// The object that `text` is. Good until the next call. Bytes that are not UTF-8 become U+FFFD.
  simdjson::ondemand::object object(std::string_view text);

  /// Throws where more text follows the object, which has been walked to its end.
  void expect_end();

  /// Gives back what a large object took; whatever was read of it is gone then.
  void let_go();
  /// Bytes that are kept.
  std::size_t held() const noexcept;

 private:
  void load(std::string_view text);

  simdjson::ondemand::parser parser_;
  simdjson::ondemand::document document_;
  std::string padded_;
};

/// The value's text as it stands in the JSON, without the space around it. Consumes the value.
std::string_view raw_json(simdjson::ondemand::value& value);

/// What stands between the quotes of a string, escapes and all; `raw` is its text.
std::string_view inside_quotes(std::string_view raw);

/// What JavaScript and Python agree to call a value that is there: not null, false, 0, "" or empty.
bool is_truthy(std::string_view raw);

/// Whether an `error` is one: some relays send it with every chunk, its members all empty.
bool says_error(std::string_view raw);

/// The whole number that a JSON number, or a string that holds one, says. Relays of loosely typed
/// languages write an index as "0" or 0.0.
std::optional<std::int64_t> whole_number(std::string_view raw);

bool is_string(simdjson::ondemand::value& value);
bool is_null(simdjson::ondemand::value& value);

}  // namespace sluice::openai
