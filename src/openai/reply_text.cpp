#include "openai/reply_text.hpp"

#include <utility>

#include "json/object.hpp"
#include "openai/content_part.hpp"

namespace sluice::openai {
namespace {

class text_collector {
 public:
  void add_choice(const json_object& choice) {
    add(choice.value("text"), false);
    add_message(choice.object("message"));
  }

  // Adds an item of a response: a message, a call, or a summary of reasoning.
  void add_item(const json_object& item) {
    const bool reasoning = item.value("type") == R"("reasoning")";
    for (const std::string_view key : {"summary", "content"}) add(item.value(key), reasoning);
    add_call(item);
  }

  std::vector<reply_text> take() { return std::move(found_); }

 private:
  void add_message(const json_object& message) {
    const bool has_content = message.has_value("reasoning_content");
    add(message.value(has_content ? "reasoning_content" : "reasoning"), true);
    add(message.value("content"), false);
    add(message.value("refusal"), false);
    add_call(message.object("function_call"));
    for (const std::string_view element : message.list("tool_calls")) {
      const json_object call(element);
      for (const std::string_view kind : {"function", "custom"}) add_call(call.object(kind));
    }
  }

  void add_call(const json_object& call) {
    for (const std::string_view key : {"name", "arguments", "input"}) add(call.value(key), false);
  }

  // Adds a text, or the texts in a list of parts.
  void add(std::string_view value, bool reasoning) {
    if (value.starts_with('"')) return add_text(value, reasoning);
    for (const std::string_view element :
         json_elements(value).value_or(std::vector<std::string_view>())) {
      if (element.starts_with('"')) {
        add_text(element, reasoning);
        continue;
      }
      const json_object part(element);
      const std::string_view type = part.value("type");
      const bool thought = (type.size() > 2 && names_thought(type.substr(1, type.size() - 2))) ||
                           part.value("thought") == "true";
      if (thought) {
        for (const std::string_view key : {"thinking", "reasoning", "summary", "content"}) {
          add(part.value(key), true);
        }
      }
      add(part.value("text"), reasoning || thought);
      add(part.value("refusal"), reasoning);
    }
  }

  void add_text(std::string_view quoted, bool reasoning) {
    std::string text = json_string(quoted).value_or(std::string());
    if (!text.empty()) found_.push_back({std::move(text), reasoning});
  }

  std::vector<reply_text> found_;
};

}  // namespace

std::vector<reply_text> reply_texts(std::string_view body) {
  const json_object whole(body);
  text_collector found;
  for (const std::string_view choice : whole.list("choices")) found.add_choice(json_object(choice));
  for (const std::string_view item : whole.list("output")) found.add_item(json_object(item));
  return found.take();
}

}  // namespace sluice::openai
