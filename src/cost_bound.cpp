#include "cost_bound.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <iterator>
#include <string_view>
#include <vector>

#include "json_members.hpp"
#include "json_text.hpp"
#include "token_count.hpp"

namespace sluice {
namespace {

using members = std::vector<json_member>;

constexpr std::int64_t most_tokens = 1'000'000'000'000;  // so that no product overflows

std::optional<std::int64_t> positive(const members& body, std::string_view key) {
  const json_member* member = find_member(body, key);
  if (member == nullptr) return std::nullopt;
  std::int64_t value = 0;
  const auto* end = member->value.data() + member->value.size();
  const auto [stop, error] = std::from_chars(member->value.data(), end, value);
  if (error != std::errc() || stop != end || value <= 0) return std::nullopt;
  return std::min(value, most_tokens);
}

// A count that is there and no plain whole number above zero: the relay may read it otherwise than
// we do, and be right.
std::optional<std::string_view> unreadable_count(const members& body) {
  for (const std::string_view key :
       {"max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of"}) {
    const json_member* member = find_member(body, key);
    if (member != nullptr && member->value != "null" && !positive(body, key)) return key;
  }
  return std::nullopt;
}

// The larger of the body's own limits: which of two holds is the relay's choice.
std::optional<std::int64_t> own_limit(const members& body, endpoint target) {
  if (target == endpoint::responses) return positive(body, "max_output_tokens");
  const auto older = positive(body, "max_tokens");
  if (target == endpoint::completions) return older;
  const auto newer = positive(body, "max_completion_tokens");
  return older && newer ? std::max(*older, *newer) : newer ? newer : older;
}

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string type_of(const members& object) {
  const json_member* type = find_member(object, "type");
  return type == nullptr ? std::string() : json_string(type->value).value_or(std::string());
}

// The type of a part whose tokens its bytes do not bound; nothing when there is none.
std::optional<std::string> unbounded_part(std::string_view content) {
  if (content.empty() || content.front() != '[') return std::nullopt;
  for (const std::string_view element :
       json_elements(content).value_or(std::vector<std::string_view>{})) {
    const auto part = json_members(element);
    if (!part) continue;  // a string, or a token's number
    std::string type = type_of(*part);
    if (is_one_of(type, {"text", "input_text", "output_text", "refusal", "summary_text",
                         "reasoning_text"})) {
      continue;
    }
    return type;
  }
  return std::nullopt;
}

// The same of a list of messages, or of the items of a response's input.
std::optional<std::string> unbounded_message(std::string_view list) {
  if (list.empty() || list.front() != '[') return std::nullopt;
  for (const std::string_view element :
       json_elements(list).value_or(std::vector<std::string_view>{})) {
    const auto message = json_members(element);
    if (!message) continue;
    std::string type = type_of(*message);
    if (!is_one_of(type, {"", "message", "function_call", "function_call_output",
                          "custom_tool_call", "custom_tool_call_output", "reasoning"})) {
      return type;
    }
    if (find_member(*message, "audio") != nullptr) return "audio";
    for (const std::string_view place : {"content", "output"}) {
      const json_member* content = find_member(*message, place);
      if (content == nullptr) continue;
      if (auto part = unbounded_part(content->value)) return part;
    }
  }
  return std::nullopt;
}

bool is_set(const json_member* member) {
  return member != nullptr && member->value != "null" && member->value != "[]" &&
         member->value != "{}" && member->value != "\"\"";
}

std::optional<std::string> why_unbounded(const members& body, endpoint target) {
  for (const std::string_view place : {"messages", "input"}) {
    const json_member* list = find_member(body, place);
    if (list == nullptr || target == endpoint::embeddings) continue;
    if (const auto type = unbounded_message(list->value)) {
      return fmt::format("has a part of type \"{}\", whose tokens cannot be bounded", *type);
    }
  }
  for (const std::string_view place : {"previous_response_id", "conversation"}) {
    if (is_set(find_member(body, place)))
      return fmt::format("has {}, input that is stored elsewhere", place);
  }
  if (target == endpoint::responses && is_set(find_member(body, "prompt")))
    return "has prompt, input that is stored elsewhere";
  for (const std::string_view place : {"web_search_options", "audio"}) {
    if (is_set(find_member(body, place)))
      return fmt::format("has {}, whose tokens cannot be bounded", place);
  }
  if (const json_member* tools = find_member(body, "tools"); is_set(tools)) {
    for (const std::string_view element :
         json_elements(tools->value).value_or(std::vector<std::string_view>{})) {
      const auto tool = json_members(element);
      const std::string type = tool ? type_of(*tool) : std::string();
      if (!is_one_of(type, {"function", "custom", ""}))
        return fmt::format("has the tool \"{}\", whose tokens cannot be bounded", type);
    }
  }
  return std::nullopt;
}

// Members that no relay puts into a prompt.
constexpr std::string_view beside_the_prompt[] = {"model",
                                                  "max_tokens",
                                                  "max_completion_tokens",
                                                  "n",
                                                  "best_of",
                                                  "temperature",
                                                  "top_p",
                                                  "top_k",
                                                  "stop",
                                                  "presence_penalty",
                                                  "frequency_penalty",
                                                  "logprobs",
                                                  "top_logprobs",
                                                  "logit_bias",
                                                  "seed",
                                                  "user",
                                                  "stream",
                                                  "stream_options",
                                                  "echo",
                                                  "store",
                                                  "metadata",
                                                  "service_tier",
                                                  "dimensions",
                                                  "encoding_format"};

bool stands_beside_the_prompt(const json_member& member) {
  return !member.escaped && std::find(std::begin(beside_the_prompt), std::end(beside_the_prompt),
                                      member.key) != std::end(beside_the_prompt);
}

std::string_view prompt_key(endpoint target) {
  switch (target) {
    case endpoint::chat_completions:
      return "messages";
    case endpoint::completions:
      return "prompt";
    case endpoint::embeddings:
    case endpoint::responses:
      break;
  }
  return "input";
}

}  // namespace

std::int64_t bound_prompt(const request& asked) {
  constexpr std::size_t framing_margin = 8;
  const token_count counted = prompt_tokens(asked.target, asked.model, asked.body);
  if (!counted.exact) return static_cast<std::int64_t>(asked.body.size());
  const members body = json_members(asked.body).value_or(members{});
  const json_member* prompt = find_member(body, prompt_key(asked.target));
  std::size_t tokens = counted.tokens + framing_margin;
  for (const json_member& member : body) {
    if (&member == prompt) {
      const auto list = json_elements(member.value);
      tokens += list ? list->size() : 1;
    } else if (!stands_beside_the_prompt(member)) {
      tokens += member.end - member.begin;
    }
  }
  return static_cast<std::int64_t>(tokens);
}

usd token_bound::cost(const token_price& price) const noexcept {
  return std::max(price.input, price.cached_input) * prompt + price.output * completion;
}

std::optional<std::int64_t> named_output_limit(const request& asked) {
  return own_limit(json_members(asked.body).value_or(members{}), asked.target);
}

boost::system::result<token_bound, std::string> bound_tokens(
    const request& asked, std::optional<std::int64_t> model_limit,
    std::optional<std::int64_t> assumed) {
  const members body = json_members(asked.body).value_or(members{});
  if (auto why = why_unbounded(body, asked.target)) return *std::move(why);
  token_bound bound;
  bound.prompt = static_cast<std::int64_t>(asked.body.size());
  if (asked.target == endpoint::embeddings) return bound;
  if (const auto count = unreadable_count(body))
    return fmt::format("has {} that is no plain whole number above zero", *count);
  auto limit = own_limit(body, asked.target);
  if (!limit) limit = model_limit ? model_limit : assumed;
  if (!limit) return std::string("says nowhere how long its reply may be");
  const std::int64_t candidates = positive(body, "best_of").value_or(1);
  if (asked.choices == request::most_choices || candidates > most_tokens / *limit / asked.choices)
    return std::string("asks for more choices than can be paid");
  const std::int64_t choices = candidates * asked.choices;
  bound.completion = *limit * choices;
  // Predicted text that is not used is billed as completion beside the limit.
  if (is_set(find_member(body, "prediction"))) bound.completion += bound.prompt * choices;
  return bound;
}

}  // namespace sluice
