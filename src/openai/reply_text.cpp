#include "openai/reply_text.hpp"

#include <utility>

#include "json/json_members.hpp"
#include "openai/content_part.hpp"

namespace sluice::openai {
namespace {

using members = std::vector<json_member>;

members object_in(std::string_view value) {
  return json_members(value).value_or(members());
}

class text_collector {
 public:
  void add_choice(const members& choice) {
    add(find_member(choice, "text"), false);
    const json_member* message = find_member(choice, "message");
    if (message != nullptr) add_message(object_in(message->value));
  }

  // Of a response: a message, a call, or a summary of what was thought.
  void add_item(const members& item) {
    const json_member* type = find_member(item, "type");
    const bool reasoning = type != nullptr && type->value == R"("reasoning")";
    for (const std::string_view key : {"summary", "content"}) {
      add(find_member(item, key), reasoning);
    }
    add_call(item);
  }

  std::vector<reply_text> take() { return std::move(found_); }

 private:
  void add_message(const members& message) {
    const json_member* reasoning = find_member(message, "reasoning_content");
    if (reasoning == nullptr || reasoning->value == "null") {
      reasoning = find_member(message, "reasoning");
    }
    add(reasoning, true);
    add(find_member(message, "content"), false);
    add(find_member(message, "refusal"), false);
    if (const json_member* call = find_member(message, "function_call")) {
      add_call(object_in(call->value));
    }
    const json_member* calls = find_member(message, "tool_calls");
    if (calls == nullptr) return;
    for (const std::string_view element : elements_of(calls->value)) {
      const members call = object_in(element);
      for (const std::string_view kind : {"function", "custom"}) {
        if (const json_member* called = find_member(call, kind)) add_call(object_in(called->value));
      }
    }
  }

  void add_call(const members& call) {
    for (const std::string_view key : {"name", "arguments", "input"}) {
      add(find_member(call, key), false);
    }
  }

  // A text, or a list of parts that have one each.
  void add(const json_member* value, bool reasoning) {
    if (value == nullptr) return;
    if (value->value.starts_with('"')) return add_text(value->value, reasoning);
    for (const std::string_view element : elements_of(value->value)) {
      if (element.starts_with('"')) {
        add_text(element, reasoning);
        continue;
      }
      const members part = object_in(element);
      const json_member* type = find_member(part, "type");
      const json_member* flag = find_member(part, "thought");
      const bool thought = (type != nullptr && type->value.size() > 2 &&
                            names_thought(type->value.substr(1, type->value.size() - 2))) ||
                           (flag != nullptr && flag->value == "true");
      if (thought) {
        for (const std::string_view key : {"thinking", "reasoning", "summary", "content"}) {
          add(find_member(part, key), true);
        }
      }
      add(find_member(part, "text"), reasoning || thought);
      add(find_member(part, "refusal"), reasoning);
    }
  }

  void add_text(std::string_view quoted, bool reasoning) {
    std::string text = json_string(quoted).value_or(std::string());
    if (!text.empty()) found_.push_back({std::move(text), reasoning});
  }

  static std::vector<std::string_view> elements_of(std::string_view value) {
    return json_elements(value).value_or(std::vector<std::string_view>());
  }

  std::vector<reply_text> found_;
};

}  // namespace

std::vector<reply_text> reply_texts(std::string_view body) {
  const members whole = object_in(body);
  text_collector found;
  for (const auto& [list, add] : {std::pair("choices", &text_collector::add_choice),
                                  std::pair("output", &text_collector::add_item)}) {
    const json_member* member = find_member(whole, list);
    if (member == nullptr) continue;
    for (const std::string_view element :
         json_elements(member->value).value_or(std::vector<std::string_view>())) {
      (found.*add)(object_in(element));
    }
  }
  return found.take();
}

}  // namespace sluice::openai
