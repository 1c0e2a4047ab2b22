#include "jobs/failure_examples.hpp"

#include <cstdint>
#include <string_view>

#include "files/line_reader.hpp"
#include "jobs/result_line.hpp"
#include "json/json_members.hpp"
#include "openai/error_body.hpp"

namespace sluice {
namespace {

constexpr std::uint64_t longest_line = std::uint64_t{1} << 30;

std::string_view member_of(std::string_view object, std::string_view key) {
  const auto members = json_members(object);
  const json_member* member = members ? find_member(*members, key) : nullptr;
  return member == nullptr ? std::string_view() : member->value;
}

// Of an errors line, valid JSON: the error's message, or what the relay said.
std::string message_of(std::string_view line) {
  if (const auto message = json_string(member_of(member_of(line, "error"), "message"))) {
    return *message;
  }
  const std::string_view body = member_of(member_of(line, "response"), "body");
  return openai::read_error_body(json_string(body).value_or(std::string(body))).message;
}

}  // namespace

std::map<std::string, std::string> failure_examples(const std::string& errors_path) {
  std::map<std::string, std::string> examples;
  line_reader reader(open_bytes(errors_path), longest_line);
  line_reader::line line;
  while (reader.next(line)) {
    const auto stored = line.too_long ? std::nullopt : parse_stored_line(line.text);
    if (!stored || examples.contains(stored->facts.error)) continue;
    examples.emplace(stored->facts.error, message_of(line.text));
  }
  return examples;
}

}  // namespace sluice
