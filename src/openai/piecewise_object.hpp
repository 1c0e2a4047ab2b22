#pragma once

#include <simdjson.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::openai {

/// A JSON object whose members arrive in pieces, kept as JSON text: the pieces of a string are
/// joined with their escapes as they came, so that a surrogate pair cut in two is whole again, and
/// numbers keep their digits. Members stand in the order of their first piece unless write() is
/// told another.
///
/// No form erases another: where strings and arrays meet under one name, the array stands, and the
/// strings are text parts of it.
class piecewise_object {
 public:
  /// Another piece of a string; `raw` is what stood between its quotes.
  void append_text(std::string_view key, std::string_view raw);
  /// A text part of an array: `head` is what its object holds before its text, each member with a
  /// comma behind. It goes on with the part before it where that one is a text with the same head.
  void append_text_part(std::string_view key, std::string_view head, std::string_view raw);
  /// One more element of an array.
  void append_element(std::string_view key, std::string_view raw);
  /// More elements of an array; `raw` is the array they came in.
  void append_elements(std::string_view key, std::string_view raw);
  /// A piece of a string of unknown name. It is a text, whose pieces are joined, or a label that
  /// comes with every chunk, of which the last one stands. The pieces themselves show
  /// which: a label repeats itself from piece to piece, or is a single word beside the pieces of
  /// what the model says. `beside`: this one came with such a piece.
  void append_text_or_label(std::string_view key, std::string_view raw, bool beside);
  /// A value that comes whole. The last one stands, but null or an empty string replaces nothing.
  void replace(std::string_view key, std::string_view raw);
  /// The member is there, if only as null.
  void mention(std::string_view key);

  /// Whether pieces of this name may be either: it names neither a text nor a label.
  static bool may_be_label(std::string_view key);

  /// Takes in a member of a delta by what it looks like: strings and arrays go on, names and ids
  /// are told once, anything else comes whole.
  void merge(std::string_view key, simdjson::ondemand::value value);
  void merge(simdjson::ondemand::object delta);

  bool empty() const { return members_.empty(); }
  /// Bytes that are kept.
  std::size_t held() const noexcept;
  /// The string, array or value has something in it.
  bool has(std::string_view key) const;
  /// The pieces of a string so far, as they stood between its quotes; empty for any other value.
  std::string_view text(std::string_view key) const;
  /// The member came at least once, and not as null.
  bool given(std::string_view key) const;

  /// Appends `"key":value` of the named members that are there, in this order, each with a comma
  /// behind.
  void write(std::string& out, std::initializer_list<std::string_view> keys) const;
  /// The same for all members that are not named.
  void write_others(std::string& out, std::initializer_list<std::string_view> named) const;
  /// Appends the whole object.
  void write_object(std::string& out) const;

 private:
  enum class form : std::uint8_t { null, value, text, elements };
  /// What the pieces of a string show of its nature.
  struct evidence {
    std::uint32_t pieces = 0;
    std::uint32_t repeats = 0;  ///< pieces that say the same as the one before
    std::uint32_t beside = 0;   ///< pieces that came with a piece of what the model says
    bool words = true;          ///< each of them is a single word
    std::string last;           ///< the last piece

    bool is_label() const;
  };
  struct member {
    std::string key;
    form is = form::null;
    std::string text;  ///< a value whole; of a string or an array what is inside
    /// Of an array whose last element is a text part: the head of that part.
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
  member spare_;  ///< in the place of one that is too many
};

/// Ends an object or array that was written with a comma behind every member.
void close_with(std::string& out, char bracket);

}  // namespace sluice::openai
