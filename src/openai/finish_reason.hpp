#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace sluice::openai {

/// Whether `text` is really a finish reason. Some relays write the null value of their programming
/// language as a string: "null", "None", "undefined", or only blanks. Pure.
bool is_finish_reason(std::string_view text);

/// Counts the finish reasons of a reply's body while another reader walks over its JSON. It counts
/// like read_whole_reply(). Not thread safe.
///
/// A depth is the number of brackets that are open inside the body: 1 for the members of the body
/// itself. Values are as written; the body must be valid JSON.
class finish_reason_counter {
 public:
  /// A bracket opens, `{` or `[`; `depth` does not include it.
  void on_open(std::size_t depth, char kind);
  /// The key of a member, without quotes and escapes.
  void on_key(std::size_t depth, std::string_view key);
  /// The value of the last key at this depth has ended. Not for the elements of a list.
  void on_value(std::size_t depth, std::string_view value);
  /// Call it at the end of the body.
  std::map<std::string, std::uint64_t> take();

 private:
  enum class bracket : std::uint8_t { other, body, choices, choice, incomplete_details };
  enum class member : std::uint8_t {
    other,
    choices,
    data,
    status,
    incomplete_details,
    finish_reason,
    reason,
  };
  static constexpr std::size_t deepest = 3;  // the depth of a choice's members

  static bracket opened(bracket in, member key, char kind);
  static member named(bracket in, std::string_view key);

  std::array<bracket, deepest> brackets_{};  // the last one that was opened at each depth
  std::array<member, deepest> members_{};    // the last key at each depth
  bool has_choices_ = false;
  bool has_data_ = false;
  std::string status_;
  std::string incomplete_reason_;
  std::map<std::string, std::uint64_t> counts_;
};

}  // namespace sluice::openai
