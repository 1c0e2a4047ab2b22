#pragma once

#include <boost/system/result.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::answers {

/// What is wrong with a text as JSON; nothing: it is one JSON value. In a few words, for a sentence
/// that begins with "the reply". Pure.
std::optional<std::string> json_answer_fault(std::string_view text);

/// A JSON Schema: drafts 4 and 7, and of later ones `$defs` with references to them. Not checked,
/// and therefore refused, are patternProperties, prefixItems and other keywords of later drafts. Of
/// `format`, date, time, date-time and uuid are checked. Immutable: all calls may be made from any
/// thread.
class json_schema {
 public:
  /// The error says in a few words why the schema cannot be used.
  static boost::system::result<std::shared_ptr<const json_schema>, std::string> compile(
      std::string_view text);

  json_schema(const json_schema&) = delete;
  json_schema& operator=(const json_schema&) = delete;
  ~json_schema();

  /// What is wrong with a text; nothing: it is JSON that fits the schema. Names the place as a JSON
  /// pointer.
  std::optional<std::string> fault_of(std::string_view text) const;

 private:
  struct compiled;
  json_schema();
  std::unique_ptr<compiled> compiled_;
};

}  // namespace sluice::answers
