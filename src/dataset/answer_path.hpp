#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace sluice::dataset {

/// What a path finds in the body of a reply: a JSON value, or plain text, or why there is none.
struct found_value {
  enum class kind : std::uint8_t { nothing, text, json };
  kind is = kind::nothing;
  std::string content;
  std::string fault;  ///< why the answer lacks what the path expects; empty: it may lack it

  /// As the cell of a table: the text of a JSON string, the JSON text of other values.
  std::string text() const;
  /// As a JSON value.
  std::string json() const;
};

/// A path into the body of a reply: `.usage.total_tokens`, `.choices[0].message.content`,
/// `."odd name"`. `.content` is short for the text of the first choice, `.json` for the value of
/// that text as JSON, with more path behind it; `.error` stands for why the request failed. Pure.
class answer_path {
 public:
  /// Nothing where the text is no path.
  static std::optional<answer_path> parse(std::string_view text);

  found_value find(std::string_view body) const;
  /// As it was parsed.
  const std::string& text() const noexcept { return text_; }
  bool is_error() const noexcept { return start_ == start::error; }

 private:
  using step = std::variant<std::string, std::size_t>;
  enum class start : std::uint8_t { body, content, json, error };

  start start_ = start::body;
  std::vector<step> steps_;
  std::string text_;
};

/// The text of a reply's first choice: of chat, completions and responses. Nothing where there is
/// none, for example in a reply that calls a function.
std::optional<std::string> answer_text(std::string_view body);

}  // namespace sluice::dataset
