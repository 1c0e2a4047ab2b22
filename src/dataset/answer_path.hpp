#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace sluice::dataset {

/// The result of a path in the body of a reply: a JSON value, or plain text, or the reason why
/// there is none.
struct found_value {
  enum class kind : std::uint8_t { nothing, text, json };
  kind is = kind::nothing;
  std::string content;
  /// Why the answer does not have the expected value; empty: the value is optional.
  std::string fault;

  /// As the cell of a table: the text of a JSON string, or the JSON text of another value.
  std::string text() const;
  /// As a JSON value.
  std::string json() const;
};

/// A path into the body of a reply: `.usage.total_tokens`, `.choices[0].message.content`, `."odd
/// name"`. `.content` means the text of the first choice. `.json` means the value of that text,
/// parsed as JSON; more path may follow. `.error` means the reason why the request failed. Pure.
class answer_path {
 public:
  /// Nothing if the text is not a path.
  static std::optional<answer_path> parse(std::string_view text);

  found_value find(std::string_view body) const;
  /// The text from which it was parsed.
  const std::string& text() const noexcept { return text_; }
  bool is_error() const noexcept { return start_ == start::error; }

 private:
  using step = std::variant<std::string, std::size_t>;
  enum class start : std::uint8_t { body, content, json, error };

  start start_ = start::body;
  std::vector<step> steps_;
  std::string text_;
};

/// The text of a reply's first choice, for chat, completions and responses. Nothing if there is
/// none, for example in a reply that calls a function.
std::optional<std::string> answer_text(std::string_view body);

}  // namespace sluice::dataset
