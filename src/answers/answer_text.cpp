#include "answers/answer_text.hpp"

#include <optional>

#include "json/object.hpp"
#include "openai/content_part.hpp"

namespace sluice::answers {
namespace {

std::string text_of(const json_object& object, std::string_view name) {
  return object.text(name).value_or(std::string());
}

bool is_thought(const json_object& part) {
  return openai::names_thought(text_of(part, "type")) || part.value("thought") == "true";
}

// Adds a content, which is a text or a list of parts.
void add_content(choice_text& said, std::string_view content) {
  if (auto text = json_string(content)) {
    said.text += *text;
    return;
  }
  for (const std::string_view element :
       json_elements(content).value_or(std::vector<std::string_view>())) {
    if (const auto text = json_string(element)) {
      said.text += *text;
      continue;
    }
    const json_object part(element);
    if (is_thought(part)) continue;
    said.text += text_of(part, "text");
    said.refusal += text_of(part, "refusal");
  }
}

ending ending_named(std::string_view reason) {
  if (reason == "length" || reason == "max_output_tokens" || reason == "max_tokens")
    return ending::cut_off;
  return reason == "content_filter" ? ending::filtered : ending::whole;
}

choice_text choice_of(const json_object& choice) {
  choice_text said;
  said.end = ending_named(text_of(choice, "finish_reason"));
  add_content(said, choice.value("text"));  // for the completions endpoint
  const json_object message = choice.object("message");
  add_content(said, message.value("content"));
  said.refusal += text_of(message, "refusal");
  said.calls_tool = !message.list("tool_calls").empty() || message.has_value("function_call");
  return said;
}

choice_text response_text(const json_object& response) {
  choice_text said;
  said.end = ending_named(text_of(response.object("incomplete_details"), "reason"));
  for (const std::string_view element : response.list("output")) {
    const json_object item(element);
    const std::string type = text_of(item, "type");
    if (type == "message") add_content(said, item.value("content"));
    if (type == "function_call" || type == "custom_tool_call") said.calls_tool = true;
  }
  return said;
}

}  // namespace

std::vector<choice_text> choice_texts(std::string_view body) {
  const json_object whole(body);
  std::vector<choice_text> choices;
  for (const std::string_view choice : whole.list("choices"))
    choices.push_back(choice_of(json_object(choice)));
  if (whole.has("output")) choices.push_back(response_text(whole));
  return choices;
}

}  // namespace sluice::answers
