#pragma once

#include <boost/system/result.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::answers {

/// The fault of a text as JSON, in a few words, for a sentence that begins with "the reply".
/// nullopt: the text is one JSON value. Pure.
std::optional<std::string> json_answer_fault(std::string_view text);

/// A JSON Schema of draft 4 or 7; of later drafts only `$defs`, references to them, and keywords
/// beside a reference. A schema with patternProperties, prefixItems or other keywords of later
/// drafts is refused, because they cannot be checked. Of `format`, the values date, time, date-time
/// and uuid are checked.
/// Immutable: all calls may be made from any thread.
class json_schema {
 public:
  /// Returns the compiled schema, or says in a few words why it cannot be used.
  static boost::system::result<std::shared_ptr<const json_schema>, std::string> compile(
      std::string_view text);

  json_schema(const json_schema&) = delete;
  json_schema& operator=(const json_schema&) = delete;
  ~json_schema();

  /// The fault of a text, with its place as a JSON pointer. nullopt: the text is JSON that fits the
  /// schema.
  std::optional<std::string> fault_of(std::string_view text) const;

 private:
  struct compiled;
  json_schema();
  std::unique_ptr<compiled> compiled_;
};

}  // namespace sluice::answers
