#include "jobs/audit.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "json/json_members.hpp"
#include "tokens/prompt_tokens.hpp"

namespace sluice {
namespace {

using members = std::vector<json_member>;
using elements = std::vector<std::string_view>;

constexpr std::string_view replacement_character = "\xEF\xBF\xBD";

bool is_set(const json_member* member) {
  return member != nullptr && member->value != "null" && member->value != "[]" &&
         member->value != "\"\"";
}

bool has(const members& object, std::string_view key) {
  return is_set(find_member(object, key));
}

members object_of(std::string_view value) {
  return json_members(value).value_or(members());
}

members object_of(const members& object, std::string_view key) {
  const json_member* member = find_member(object, key);
  return member == nullptr ? members() : object_of(member->value);
}

elements list_of(const members& object, std::string_view key) {
  const json_member* member = find_member(object, key);
  return member == nullptr ? elements() : json_elements(member->value).value_or(elements());
}

std::string text_of(const members& object, std::string_view key) {
  const json_member* member = find_member(object, key);
  return member == nullptr ? std::string() : json_string(member->value).value_or(std::string());
}

// ---- requests

bool is_text_part(std::string_view part) {
  if (part.starts_with('"')) return true;
  const std::string type = text_of(object_of(part), "type");
  return type == "text" || type == "refusal" || type == "input_text" || type == "output_text";
}

bool has_other_than_text(const members& body) {
  for (const std::string_view list : {"messages", "input"}) {
    for (const std::string_view message : list_of(body, list)) {
      if (!message.starts_with('{')) continue;
      const elements parts = list_of(object_of(message), "content");
      if (!std::all_of(parts.begin(), parts.end(), is_text_part)) return true;
    }
  }
  return false;
}

audit_gap gap_of_prompt(const request& asked, const members& body) {
  if (!vocabulary_of(asked.model)) return audit_gap::unknown_vocabulary;
  return has_other_than_text(body) ? audit_gap::prompt_not_text : audit_gap::prompt_estimated;
}

// Whether a reply to the request may hold less than was written: what is cut off, thrown away or
// said again is not there to be counted.
audit_gap gap_of_completion(const request& asked, const members& body) {
  if (asked.target == endpoint::embeddings) return audit_gap::none;
  if (!vocabulary_of(asked.model)) return audit_gap::unknown_vocabulary;
  const json_member* echo = find_member(body, "echo");
  const bool not_shown = (is_set(echo) && echo->value != "false") || has(body, "best_of") ||
                         has(body, "stop") || has(body, "prediction");
  if (not_shown) return audit_gap::completion_not_shown;
  return has(body, "audio") ? audit_gap::completion_not_text : audit_gap::none;
}

// ---- replies

// Sums up the text of a reply.
class reply_counter {
 public:
  explicit reply_counter(std::string_view model) : model_(model) {}

  void add_text(const members& object, std::string_view key) {
    const json_member* member = find_member(object, key);
    if (!is_set(member)) return;
    const auto text = json_string(member->value);
    if (!text || text->find(replacement_character) != std::string::npos) {
      refuse(audit_gap::completion_not_text);
      return;
    }
    const token_count count = completion_tokens(model_, *text);
    if (!count.exact) refuse(audit_gap::unknown_vocabulary);
    tokens_ += static_cast<std::int64_t>(count.tokens);
  }

  void add_chat(const members& reply) {
    for (const std::string_view element : list_of(reply, "choices")) {
      ++choices_;
      const members message = object_of(object_of(element), "message");
      add_text(message, "content");
      add_text(message, "refusal");
      if (has(message, "reasoning_content") || has(message, "reasoning")) thinks_ = true;
      if (has(message, "tool_calls") || has(message, "function_call") || has(message, "audio")) {
        refuse(audit_gap::completion_not_text);
      }
    }
  }

  void add_completions(const members& reply) {
    for (const std::string_view element : list_of(reply, "choices")) {
      ++choices_;
      add_text(object_of(element), "text");
    }
  }

  void add_response(const members& reply) {
    for (const std::string_view element : list_of(reply, "output")) {
      const members item = object_of(element);
      const std::string type = text_of(item, "type");
      if (type == "reasoning") {
        thinks_ = true;
      } else if (type == "message") {
        ++choices_;
        for (const std::string_view part : list_of(item, "content")) {
          add_text(object_of(part), "text");
          add_text(object_of(part), "refusal");
        }
      } else {
        refuse(audit_gap::completion_not_text);
      }
    }
  }

  bool thinks() const noexcept { return thinks_; }
  std::int64_t tokens() const noexcept { return tokens_; }
  std::int64_t choices() const noexcept { return choices_; }
  audit_gap gap() const noexcept { return choices_ == 0 ? audit_gap::completion_not_text : gap_; }

 private:
  void refuse(audit_gap why) {
    if (gap_ == audit_gap::none) gap_ = why;
  }

  std::string_view model_;
  std::int64_t tokens_ = 0;
  std::int64_t choices_ = 0;
  bool thinks_ = false;
  audit_gap gap_ = audit_gap::none;
};

void audit_completion(audited_request& audited, endpoint target, std::string_view model,
                      const token_usage& usage, std::string_view reply_body) {
  reply_counter counter(model);
  const members reply = object_of(reply_body);
  switch (target) {
    case endpoint::chat_completions:
      counter.add_chat(reply);
      break;
    case endpoint::completions:
      counter.add_completions(reply);
      break;
    case endpoint::responses:
      counter.add_response(reply);
      break;
    case endpoint::embeddings:
      return;
  }
  audited.completion_gap = counter.gap();
  if (audited.completion_gap != audit_gap::none) return;
  if ((counter.thinks() || may_reason(model)) && usage.reasoning_tokens == 0) {
    audited.completion_gap = audit_gap::reasoning_not_told;
    return;
  }
  const std::int64_t reported =
      std::max<std::int64_t>(usage.completion_tokens - usage.reasoning_tokens, 0);
  const std::int64_t with_ends = counter.tokens() + counter.choices();
  audited.completion = {reported, std::clamp(reported, counter.tokens(), with_ends)};
}

}  // namespace

std::string_view to_string(audit_gap gap) noexcept {
  switch (gap) {
    case audit_gap::none:
      return "none";
    case audit_gap::unknown_vocabulary:
      return "unknown_vocabulary";
    case audit_gap::prompt_not_text:
      return "prompt_not_text";
    case audit_gap::prompt_estimated:
      return "prompt_estimated";
    case audit_gap::completion_not_text:
      return "completion_not_text";
    case audit_gap::completion_not_shown:
      return "completion_not_shown";
    case audit_gap::reasoning_not_told:
      return "reasoning_not_told";
  }
  return "";
}

audited_prompt audit_prompt(const request& asked) {
  const token_count count = prompt_tokens(asked.target, asked.model, asked.body);
  const members body = object_of(asked.body);
  audited_prompt prompt;
  prompt.target = asked.target;
  const bool countable = count.exact && count.tokens <= std::numeric_limits<std::uint32_t>::max();
  prompt.gap = countable ? audit_gap::none : gap_of_prompt(asked, body);
  if (countable) prompt.tokens = static_cast<std::uint32_t>(count.tokens);
  prompt.completion_gap = gap_of_completion(asked, body);
  return prompt;
}

std::int64_t audited_request::excess_tokens() const noexcept {
  return (prompt ? prompt->excess() : 0) + (completion ? completion->excess() : 0);
}

audited_request audit_reply(const audited_prompt& prompt, std::string_view model,
                            const token_usage& usage, std::string_view reply_body) {
  audited_request audited;
  audited.prompt_gap = prompt.gap;
  if (prompt.gap == audit_gap::none) {
    audited.prompt = {usage.prompt_tokens, static_cast<std::int64_t>(prompt.tokens)};
  }
  audited.completion_gap = prompt.completion_gap;
  if (prompt.completion_gap == audit_gap::none) {
    audit_completion(audited, prompt.target, model, usage, reply_body);
  }
  return audited;
}

usd excess_cost(const audited_request& audited, const token_usage& usage,
                const token_price& price) {
  token_usage fair = usage;
  if (audited.prompt) fair.prompt_tokens -= audited.prompt->excess();
  fair.cached_tokens = std::min(fair.cached_tokens, fair.prompt_tokens);
  if (audited.completion) fair.completion_tokens -= audited.completion->excess();
  usd excess = price.cost(usage);
  excess -= price.cost(fair);
  return excess;
}

}  // namespace sluice
