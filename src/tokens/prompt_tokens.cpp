#include "tokens/prompt_tokens.hpp"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <vector>

#include "json/object.hpp"
#include "tokens/function_definitions.hpp"
#include "tokens/image_tokens.hpp"

namespace sluice {
namespace {

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

bool is_string(std::string_view value) {
  return value.starts_with('"');
}

// Whether the object has a member with another name, or one of these names twice. With duplicates,
// relays differ in which member they read.
bool has_more_than(const json_object& object, std::initializer_list<std::string_view> names) {
  const auto is_one = [&](const json_member& member) {
    return std::find(names.begin(), names.end(), member.key) != names.end();
  };
  const bool others = std::any_of(object.begin(), object.end(), [&](const json_member& member) {
    return member.value != "null" && !is_one(member);
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

  void add_chat(const json_object& body) {
    if (family_ == nullptr || family_->reasons) estimate();
    for (const std::string_view key : {"response_format", "web_search_options", "prediction",
                                       "audio", "modalities", "reasoning_effort"}) {
      if (body.has_value(key)) estimate();
    }
    std::string_view functions = body.value(body.has_value("tools") ? "tools" : "functions");
    if (functions == "[]") functions = {};
    const auto messages = body.list("messages");
    if (messages.empty()) estimate();
    // Functions are part of the first system message, or of a message of their own if there is
    // none.
    bool hosts = !functions.empty();
    for (const std::string_view element : messages) {
      const json_object message(element);
      const bool host = hosts && message.text("role") == "system";
      add_message(message, host ? "\n" : "");
      if (host) {
        count_.tokens -= own_message;
        hosts = false;
      }
    }
    count_.tokens += reply_frame;
    if (!functions.empty()) add_functions(body, functions);
  }

  // Adds a prompt or an embedding input: a text, a list of texts, or token ids.
  void add_input(std::string_view input) {
    if (input.empty()) return estimate();
    if (is_string(input)) return add_string(input);
    for (const std::string_view each : json_elements(input).value_or(elements())) {
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
  void add_response(const json_object& body) {
    estimate();
    if (body.has_value("instructions")) add_framed(body.value("instructions"));
    if (const std::string_view input = body.value("input"); is_string(input)) add_framed(input);
    for (const std::string_view item : body.list("input")) add_message(json_object(item));
    count_.tokens += reply_frame;
    const std::string_view tools = body.value("tools");
    if (!tools.empty() && tools != "[]") add_functions(body, tools);
  }

  void estimate() { count_.exact = false; }

 private:
  static constexpr std::uint64_t reply_frame = 3;  ///< tokens that start the reply
  // The overhead of functions, and the part of it that is due to a message of their own.
  static constexpr std::uint64_t function_frame = 9;
  static constexpr std::uint64_t own_message = 4;

  void add_string(std::string_view quoted, std::string_view tail = {}) {
    const auto text = json_string(quoted);
    if (!text) return estimate();
    add_text(tail.empty() ? *text : *text + std::string(tail));
  }

  void add_framed(std::string_view quoted) {
    count_.tokens += per_message_ + 1;
    add_string(quoted);
  }

  void add_message(const json_object& message, std::string_view tail = {}) {
    count_.tokens += per_message_;
    const std::string_view role = message.value("role");
    const std::string_view content = message.value("content");
    if (role.empty() || content.empty()) estimate();
    if (!role.empty()) add_role(role);
    if (!content.empty()) add_content(content, tail);
    if (message.has_value("name")) {
      add_string(message.value("name"));
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
    const json_object part(element);
    const auto type = part.text("type");
    for (const std::string_view key : {"text", "refusal"}) {
      if (const std::string_view text = part.value(key); is_string(text)) {
        add_string(text);
        if (type != "text" || has_more_than(part, {"type", "text", "cache_control"})) estimate();
        return;
      }
    }
    estimate();
    if (type == "image_url" || type == "input_image") add_image(part);
  }

  // Uses the model's own rule and the size of the image. If the request does not contain the image,
  // assumes 1024 by 1024 pixels.
  void add_image(const json_object& part) {
    const json_object image = part.object("image_url");
    const bool is_low = image.text("detail") == "low" || part.text("detail") == "low";
    const std::string_view url = image.is_object() ? image.value("url") : part.value("image_url");
    const image_size size = image_size_of(url).value_or(image_size{1024, 1024});
    const image_rule rule = images_.value_or(image_rule::tiles(85, 170));  // gpt-4o's
    count_.tokens += static_cast<std::uint64_t>(rule.tokens(size.width, size.height, is_low));
  }

  // Adds the function calls, and the results of functions, in a message or in an item of a
  // response's input.
  void add_calls(const json_object& message) {
    for (const std::string_view element : message.list("tool_calls")) {
      const json_object call(element);
      if (call.has("function")) add_call(call.object("function"));
    }
    if (message.has_value("function_call")) add_call(message.object("function_call"));
    for (const std::string_view key : {"arguments", "output", "refusal"}) {
      if (message.has_value(key)) add_content(message.value(key));
    }
  }

  void add_call(const json_object& call) {
    constexpr std::uint64_t call_frame = 3;
    count_.tokens += call_frame;
    for (const std::string_view key : {"name", "arguments"}) {
      if (const json_member* member = call.find(key)) add_string(member->value);
    }
  }

  void add_functions(const json_object& body, std::string_view functions) {
    estimate();
    add_text(function_definitions(functions));
    count_.tokens += function_frame;
    const char* const key = body.has_value("tool_choice") ? "tool_choice" : "function_call";
    if (body.value(key) == R"("none")") count_.tokens += 1;
    json_object forced = body.object(key);
    if (forced.has("function")) forced = forced.object("function");
    if (const json_member* name = forced.find("name")) {
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
  const json_object request = json_object::parse(body);
  if (!request.is_object()) return {.tokens = rough_tokens(body), .exact = false};
  prompt_counter counter(model);
  switch (target) {
    case endpoint::chat_completions:
      counter.add_chat(request);
      break;
    case endpoint::completions:
      if (request.has_value("suffix")) counter.estimate();
      counter.add_input(request.value("prompt"));
      break;
    case endpoint::embeddings:
      counter.add_input(request.value("input"));
      break;
    case endpoint::responses:
      counter.add_response(request);
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
