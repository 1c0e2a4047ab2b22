#include "store/record_text.hpp"

#include <fmt/format.h>

#include <charconv>

#include "json/members.hpp"
#include "json/object.hpp"
#include "json/text.hpp"

namespace sluice::store {
namespace {

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [read, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && read == end ? std::optional(value) : std::nullopt;
}

std::optional<batch_error> read_error(std::string_view text) {
  const json_object object(text);
  const auto code = object.text("code");
  const auto message = object.text("message");
  if (!code || !message) return std::nullopt;
  batch_error error{*code, *message, object.text("param"), std::nullopt};
  if (object.has("line")) {
    error.line = number(object.value("line"));
    if (!error.line) return std::nullopt;
  }
  return error;
}

}  // namespace

std::string metadata_text(const std::map<std::string, std::string>& metadata) {
  std::string text = "{";
  for (const auto& [key, value] : metadata) {
    if (text.size() > 1) text += ',';
    append_json_quoted(text, key);
    text += ':';
    append_json_quoted(text, value);
  }
  return text + "}";
}

std::optional<std::map<std::string, std::string>> read_metadata(std::string_view text) {
  const json_object object = json_object::parse(text);
  if (!object.is_object()) return std::nullopt;
  std::map<std::string, std::string> metadata;
  for (const json_member& member : object) {
    auto value = json_string(member.value);
    if (!value) return std::nullopt;
    metadata.insert_or_assign(member_name(member), *std::move(value));
  }
  return metadata;
}

std::string errors_text(const std::vector<batch_error>& errors) {
  std::string text = "[";
  for (const batch_error& error : errors) {
    if (text.size() > 1) text += ',';
    text += R"({"code":)";
    append_json_quoted(text, error.code);
    text += R"(,"message":)";
    append_json_quoted(text, error.message);
    if (error.param) {
      text += R"(,"param":)";
      append_json_quoted(text, *error.param);
    }
    if (error.line) text += fmt::format(R"(,"line":{})", *error.line);
    text += '}';
  }
  return text + "]";
}

std::optional<std::vector<batch_error>> read_errors(std::string_view text) {
  if (json_fault(text)) return std::nullopt;
  const auto elements = json_elements(text);
  if (!elements) return std::nullopt;
  std::vector<batch_error> errors;
  for (const std::string_view element : *elements) {
    auto error = read_error(element);
    if (!error) return std::nullopt;
    errors.push_back(*std::move(error));
  }
  return errors;
}

}  // namespace sluice::store
