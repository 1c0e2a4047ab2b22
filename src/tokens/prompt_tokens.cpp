#include "tokens/prompt_tokens.hpp"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <vector>

#include "json/json_members.hpp"
#include "json/json_text.hpp"
#include "tokens/function_definitions.hpp"
#include "tokens/image_tokens.hpp"

namespace sluice {
namespace {

using members = std::vector<json_member>;
using elements = std::vector<std::string_view>;

struct model_family {
  std::string_view name;  ///< a prefix; a version or a variant may follow
  vocabulary tokens;
  bool reasons;  ///< a reasoning model: the overhead of its messages is unknown
};

constexpr model_family families[] = {
    {"gpt-3.5", vocabulary::cl100k_base, false},
    {"gpt-35", vocabulary::cl100k_base, false},  // the name at Azure
    {"gpt-4", vocabulary::cl100k_base, false},
    {"text-embedding-ada-002", vocabulary::cl100k_base, false},
    {"text-embedding-3", vocabulary::cl100k_base, false},
    {"davinci-002", vocabulary::cl100k_base, false},
    {"babbage-002", vocabulary::cl100k_base, false},
    {"gpt-4o", vocabulary::o200k_base, false},
    {"chatgpt-4o", vocabulary::o200k_base, false},
    {"gpt-4.1", vocabulary::o200k_base, false},
    {"gpt-4.5", vocabulary::o200k_base, false},
    {"gpt-5", vocabulary::o200k_base, true},
    {"gpt-5.", vocabulary::o200k_base, true},
    {"o1", vocabulary::o200k_base, true},
    {"o3", vocabulary::o200k_base, true},
    {"o4", vocabulary::o200k_base, true},
    {"gpt-oss", vocabulary::o200k_base, true},
};

// The name without vendors before it.
std::string_view plain_name(std::string_view model) {
  if (const std::size_t slash = model.rfind('/'); slash != std::string_view::npos) {
    model.remove_prefix(slash + 1);
  }
  if (model.starts_with("ft:")) model.remove_prefix(3);
  return model;
}

const model_family* family_of(std::string_view model) {
  const std::string_view name = plain_name(model);
  const auto* const found =
      std::find_if(std::begin(families), std::end(families), [&](const model_family& each) {
        if (!name.starts_with(each.name)) return false;
        const std::string_view rest = name.substr(each.name.size());
        return rest.empty() || each.name.ends_with('.') ||
               std::string_view("-:@").find(rest.front()) != std::string_view::npos;
      });
  return found == std::end(families) ? nullptr : found;
}

std::uint64_t rough_tokens(std::string_view text) {
  constexpr std::uint64_t bytes_a_token = 4;
  return (text.size() + bytes_a_token - 1) / bytes_a_token;
}

bool is_set(const json_member* member) {
  return member != nullptr && member->value != "null";
}

std::string string_of(const json_member* member) {
  return member == nullptr ? std::string() : json_string(member->value).value_or(std::string());
}

bool is_string(std::string_view value) {
  return value.starts_with('"');
}

// Whether the object has a member with another name, or one of these names twice. With duplicates,
// relays differ in which member they read.
bool has_more_than(const members& object, std::initializer_list<std::string_view> names) {
  const auto is_one = [&](const json_member& member) {
    return std::find(names.begin(), names.end(), member.key) != names.end();
  };
  const bool others = std::any_of(object.begin(), object.end(), [&](const json_member& member) {
    return is_set(&member) && !is_one(member);
  });
  return others || std::any_of(names.begin(), names.end(), [&](std::string_view name) {
           return std::count_if(object.begin(), object.end(),
                                [&](const json_member& member) { return member.key == name; }) > 1;
         });
}

/// Counts the tokens of a prompt.
class prompt_counter {
 public:
  explicit prompt_counter(std::string_view model)
      : family_(family_of(model)), images_(image_rule_of(model)) {
    // Most unknown models have a vocabulary of about the size of o200k_base.
    tokens_ = tokenizer::of(family_ != nullptr ? family_->tokens : vocabulary::o200k_base);
    count_.exact = family_ != nullptr && tokens_ != nullptr;
    // https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken
    if (plain_name(model).starts_with("gpt-3.5-turbo-0301")) {
      per_message_ = 4;
      name_stands_for_role_ = true;
    }
  }

  token_count count() const { return count_; }

  void add_text(std::string_view text) {
    const auto tokens = tokens_ == nullptr ? std::nullopt : tokens_->count(text);
    if (!tokens) estimate();
    count_.tokens += tokens.value_or(rough_tokens(text));
  }

  void add_chat(const members& body) {
    if (family_ == nullptr || family_->reasons) estimate();
    for (const std::string_view key : {"response_format", "web_search_options", "prediction",
                                       "audio", "modalities", "reasoning_effort"}) {
      if (is_set(find_member(body, key))) estimate();
    }
    const json_member* functions = find_member(body, "tools");
    if (!is_set(functions)) functions = find_member(body, "functions");
    if (!is_set(functions) || functions->value == "[]") functions = nullptr;
    const auto messages = list_of(body, "messages");
    if (messages.empty()) estimate();
    // Functions are part of the first system message, or of a message of their own if there is
    // none.
    bool hosts = functions != nullptr;
    for (const std::string_view element : messages) {
      const members message = json_members(element).value_or(members());
      const bool host = hosts && string_of(find_member(message, "role")) == "system";
      add_message(message, host ? "\n" : "");
      if (host) {
        count_.tokens -= own_message;
        hosts = false;
      }
    }
    count_.tokens += reply_frame;
    if (functions != nullptr) add_functions(body, functions->value);
  }

  // Adds a prompt or an embedding input: a text, a list of texts, or token ids.
  void add_input(const json_member* input) {
    if (!is_set(input)) return estimate();
    if (is_string(input->value)) return add_string(input->value);
    for (const std::string_view each : json_elements(input->value).value_or(elements())) {
      if (is_string(each)) {
        add_string(each);
      } else if (each.starts_with('[')) {
        count_.tokens += json_elements(each).value_or(elements()).size();
      } else {
        count_.tokens += 1;
      }
    }
  }

  // Counts a response like a chat.
  void add_response(const members& body) {
    estimate();
    if (const json_member* instructions = find_member(body, "instructions"); is_set(instructions)) {
      add_framed(instructions->value);
    }
    if (const json_member* input = find_member(body, "input"); is_set(input)) {
      if (is_string(input->value)) add_framed(input->value);
      for (const std::string_view item : json_elements(input->value).value_or(elements())) {
        add_message(json_members(item).value_or(members()));
      }
    }
    count_.tokens += reply_frame;
    const json_member* tools = find_member(body, "tools");
    if (is_set(tools) && tools->value != "[]") add_functions(body, tools->value);
  }

  void estimate() { count_.exact = false; }

 private:
  static constexpr std::uint64_t reply_frame = 3;  ///< tokens that start the reply
  // The overhead of functions, and the part of it that is due to a message of their own.
  static constexpr std::uint64_t function_frame = 9;
  static constexpr std::uint64_t own_message = 4;

  static elements list_of(const members& object, std::string_view key) {
    const json_member* member = find_member(object, key);
    return member == nullptr ? elements() : json_elements(member->value).value_or(elements());
  }

  void add_string(std::string_view quoted, std::string_view tail = {}) {
    const auto text = json_string(quoted);
    if (!text) return estimate();
    add_text(tail.empty() ? *text : *text + std::string(tail));
  }

  void add_framed(std::string_view quoted) {
    count_.tokens += per_message_ + 1;
    add_string(quoted);
  }

  void add_message(const members& message, std::string_view tail = {}) {
    count_.tokens += per_message_;
    const json_member* role = find_member(message, "role");
    const json_member* content = find_member(message, "content");
    if (!is_set(role) || !is_set(content)) estimate();
    if (is_set(role)) add_role(role->value);
    if (is_set(content)) add_content(content->value, tail);
    if (const json_member* name = find_member(message, "name"); is_set(name)) {
      add_string(name->value);
      name_stands_for_role_ ? --count_.tokens : ++count_.tokens;
    }
    if (!has_more_than(message, {"role", "content", "name"})) return;
    estimate();
    add_calls(message);
  }

  void add_role(std::string_view role) {
    add_string(role);
    if (role == R"("function")" || role == R"("tool")") {
      estimate();
      count_.tokens -= 2;  // inferred from bills, like the text of functions
    }
  }

  void add_content(std::string_view content, std::string_view tail = {}) {
    if (is_string(content)) return add_string(content, tail);
    const auto parts = json_elements(content).value_or(elements());
    // It is not documented how several parts are joined.
    if (parts.size() != 1) estimate();
    for (const std::string_view element : parts) add_part(element);
  }

  void add_part(std::string_view element) {
    if (is_string(element)) return add_string(element);
    const members part = json_members(element).value_or(members());
    const std::string type = string_of(find_member(part, "type"));
    for (const std::string_view key : {"text", "refusal"}) {
      const json_member* text = find_member(part, key);
      if (text != nullptr && is_string(text->value)) {
        add_string(text->value);
        if (type != "text" || has_more_than(part, {"type", "text", "cache_control"})) estimate();
        return;
      }
    }
    estimate();
    if (type == "image_url" || type == "input_image") add_image(part);
  }

  // Uses the model's own rule and the size of the image. If the request does not contain the image,
  // assumes 1024 by 1024 pixels.
  void add_image(const members& part) {
    const json_member* inner = find_member(part, "image_url");
    const std::string_view value = inner == nullptr ? std::string_view() : inner->value;
    const auto image = json_members(value);
    const bool is_low = (image && string_of(find_member(*image, "detail")) == "low") ||
                        string_of(find_member(part, "detail")) == "low";
    const json_member* url = image ? find_member(*image, "url") : inner;
    const image_size size = image_size_of(url == nullptr ? std::string_view() : url->value)
                                .value_or(image_size{1024, 1024});
    const image_rule rule = images_.value_or(image_rule::tiles(85, 170));  // gpt-4o's
    count_.tokens += static_cast<std::uint64_t>(rule.tokens(size.width, size.height, is_low));
  }

  // Adds the function calls, and the results of functions, in a message or in an item of a
  // response's input.
  void add_calls(const members& message) {
    for (const std::string_view call : list_of(message, "tool_calls")) {
      const auto fields = json_members(call).value_or(members());
      if (const json_member* function = find_member(fields, "function")) {
        add_call(json_members(function->value).value_or(members()));
      }
    }
    if (const json_member* call = find_member(message, "function_call"); is_set(call)) {
      add_call(json_members(call->value).value_or(members()));
    }
    for (const std::string_view key : {"arguments", "output", "refusal"}) {
      if (const json_member* text = find_member(message, key); is_set(text)) {
        add_content(text->value);
      }
    }
  }

  void add_call(const members& call) {
    constexpr std::uint64_t call_frame = 3;
    count_.tokens += call_frame;
    for (const std::string_view key : {"name", "arguments"}) {
      if (const json_member* text = find_member(call, key)) add_string(text->value);
    }
  }

  void add_functions(const members& body, std::string_view functions) {
    estimate();
    add_text(function_definitions(functions));
    count_.tokens += function_frame;
    const json_member* choice = find_member(body, "tool_choice");
    if (!is_set(choice)) choice = find_member(body, "function_call");
    if (!is_set(choice)) return;
    if (choice->value == R"("none")") count_.tokens += 1;
    members forced = json_members(choice->value).value_or(members());
    if (const json_member* function = find_member(forced, "function")) {
      forced = json_members(function->value).value_or(members());
    }
    if (const json_member* name = find_member(forced, "name")) {
      constexpr std::uint64_t choice_frame = 4;
      count_.tokens += choice_frame;
      add_string(name->value);
    }
  }

  const model_family* family_;
  const std::optional<image_rule> images_;
  const tokenizer* tokens_;
  token_count count_;
  std::uint64_t per_message_ = 3;
  bool name_stands_for_role_ = false;
};

}  // namespace

std::optional<vocabulary> vocabulary_of(std::string_view model) {
  const model_family* family = family_of(model);
  if (family == nullptr) return std::nullopt;
  return family->tokens;
}

bool may_reason(std::string_view model) {
  const model_family* family = family_of(model);
  return family != nullptr && family->reasons;
}

token_count prompt_tokens(endpoint target, std::string_view model, std::string_view body) {
  const auto fields = json_fault(body) ? std::nullopt : json_members(body);
  if (!fields) return {.tokens = rough_tokens(body), .exact = false};
  prompt_counter counter(model);
  switch (target) {
    case endpoint::chat_completions:
      counter.add_chat(*fields);
      break;
    case endpoint::completions:
      if (is_set(find_member(*fields, "suffix"))) counter.estimate();
      counter.add_input(find_member(*fields, "prompt"));
      break;
    case endpoint::embeddings:
      counter.add_input(find_member(*fields, "input"));
      break;
    case endpoint::responses:
      counter.add_response(*fields);
      break;
  }
  return counter.count();
}

token_count completion_tokens(std::string_view model, std::string_view text) {
  prompt_counter counter(model);
  counter.add_text(text);
  return counter.count();
}

}  // namespace sluice
