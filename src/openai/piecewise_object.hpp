#pragma once

#include <simdjson.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::openai {

/// A JSON object whose members arrive in pieces, kept as JSON text. The pieces of a string are
/// joined without decoding their escapes, so a surrogate pair that was split is complete again;
/// numbers keep their digits. Members are in the order of their first piece, unless write() gets
/// another order.
///
/// No value replaces one of another form: if strings and arrays arrive under one name, the result
/// is an array, and the strings are text parts in it.
class piecewise_object {
 public:
  /// Adds a piece of a string; `raw` is the text between its quotes.
  void append_text(std::string_view key, std::string_view raw);
  /// Adds a text part to an array. `head`: all members of the part before its text, each followed
  /// by a comma. If the part before it is a text with the same head, both are joined.
  void append_text_part(std::string_view key, std::string_view head, std::string_view raw);
  /// Adds one element to an array.
  void append_element(std::string_view key, std::string_view raw);
  /// Adds elements to an array; `raw` is an array that contains them.
  void append_elements(std::string_view key, std::string_view raw);
  /// Adds a piece of a string with an unknown name. Such a string is either a text, whose pieces
  /// are joined, or a label that comes with every chunk, so that only the last one counts. The
  /// pieces decide: a label repeats itself, or is a single word that comes together with pieces of
  /// the reply's text. `beside`: this piece came together with such text.
  void append_text_or_label(std::string_view key, std::string_view raw, bool beside);
  /// Sets a value that arrives whole. The last one counts, but null or an empty string does not
  /// replace a value.
  void replace(std::string_view key, std::string_view raw);
  /// The member exists, at least as null.
  void mention(std::string_view key);

  /// Whether a string of this name may be a text or a label: the name is not a known one.
  static bool may_be_label(std::string_view key);

  /// Adds a member of a delta, depending on its kind: strings and arrays are continued, names and
  /// ids are set once, everything else arrives whole.
  void merge(std::string_view key, simdjson::ondemand::value value);
  void merge(simdjson::ondemand::object delta);

  bool empty() const { return members_.empty(); }
  /// Memory in use, in bytes.
  std::size_t held() const noexcept;
  /// Whether the string, array or value is not empty.
  bool has(std::string_view key) const;
  /// The joined pieces of a string so far, without quotes and with escapes; empty for any other
  /// value.
  std::string_view text(std::string_view key) const;
  /// Whether the member came at least once with a value other than null.
  bool given(std::string_view key) const;

  /// Appends `"key":value` for each named member that exists, in this order, each followed by a
  /// comma.
  void write(std::string& out, std::initializer_list<std::string_view> keys) const;
  /// The same for all members that are not in `named`.
  void write_others(std::string& out, std::initializer_list<std::string_view> named) const;
  /// Appends the whole object.
  void write_object(std::string& out) const;

 private:
  enum class form : std::uint8_t { null, value, text, elements };
  /// What the pieces of a string show: whether it is a text or a label.
  struct evidence {
    std::uint32_t pieces = 0;
    std::uint32_t repeats = 0;  ///< pieces that are the same as the one before
    std::uint32_t beside = 0;   ///< pieces that came together with text of the reply
    bool words = true;          ///< all pieces are single words
    std::string last;           ///< the last piece

    bool is_label() const;
  };
  struct member {
    std::string key;
    form is = form::null;
    std::string text;  ///< a whole value; for a string or an array, its inside
    /// For an array whose last element is a text part: the head of that part.
    std::optional<std::string> open_head = {};
    evidence seen = {};
  };

  const member* find(std::string_view key) const;
  member& obtain(std::string_view key);
  static void to_array(member& target);
  static void add_element(member& target, std::string_view raw);
  static void add_text_part(member& target, std::string_view head, std::string_view raw);
  static void write_member(std::string& out, const member& written);

  std::vector<member> members_;
  member spare_;  ///< used for a member above the maximum number
};

/// Ends an object or array in which every member is followed by a comma.
void close_with(std::string& out, char bracket);

}  // namespace sluice::openai
