#include "jobs/audit.hpp"

#include <algorithm>
#include <limits>
#include <string>

#include "json/object.hpp"
#include "tokens/prompt_tokens.hpp"

namespace sluice {
namespace {

constexpr std::string_view replacement_character = "\xEF\xBF\xBD";

// Whether the member has a value: null, "" and [] count as no value.
bool is_given(const json_object& object, std::string_view key) {
  const std::string_view value = object.value(key);
  return !value.empty() && value != "[]" && value != "\"\"";
}

// ---- requests

bool is_text_part(std::string_view part) {
  if (part.starts_with('"')) return true;
  const auto type = json_object(part).text("type");
  return type == "text" || type == "refusal" || type == "input_text" || type == "output_text";
}

bool has_other_than_text(const json_object& body) {
  for (const std::string_view list : {"messages", "input"}) {
    for (const std::string_view message : body.list(list)) {
      if (!message.starts_with('{')) continue;
      const auto parts = json_object(message).list("content");
      if (!std::all_of(parts.begin(), parts.end(), is_text_part)) return true;
    }
  }
  return false;
}

audit_gap gap_of_prompt(const request& asked, const json_object& body) {
  if (!vocabulary_of(asked.model)) return audit_gap::unknown_vocabulary;
  return has_other_than_text(body) ? audit_gap::prompt_not_text : audit_gap::prompt_estimated;
}

// Whether a reply to the request may contain less text than the model wrote. Text that is cut off,
// discarded or repeated from the prompt cannot be counted.
audit_gap gap_of_completion(const request& asked, const json_object& body) {
  if (asked.target == endpoint::embeddings) return audit_gap::none;
  if (!vocabulary_of(asked.model)) return audit_gap::unknown_vocabulary;
  const bool echoed = is_given(body, "echo") && body.value("echo") != "false";
  const bool not_shown =
      echoed || is_given(body, "best_of") || is_given(body, "stop") || is_given(body, "prediction");
  if (not_shown) return audit_gap::completion_not_shown;
  return is_given(body, "audio") ? audit_gap::completion_not_text : audit_gap::none;
}

// ---- replies

// Adds up the tokens of a reply's text.
class reply_counter {
 public:
  explicit reply_counter(std::string_view model) : model_(model) {}

  void add_text(const json_object& object, std::string_view key) {
    if (!is_given(object, key)) return;
    const auto text = object.text(key);
    if (!text || text->find(replacement_character) != std::string::npos) {
      give_up(audit_gap::completion_not_text);
      return;
    }
    const token_count count = completion_tokens(model_, *text);
    if (!count.exact) give_up(audit_gap::unknown_vocabulary);
    tokens_ += static_cast<std::int64_t>(count.tokens);
  }

  void add_chat(const json_object& reply) {
    for (const std::string_view element : reply.list("choices")) {
      ++choices_;
      const json_object message = json_object(element).object("message");
      add_text(message, "content");
      add_text(message, "refusal");
      if (is_given(message, "reasoning_content") || is_given(message, "reasoning")) thinks_ = true;
      if (is_given(message, "tool_calls") || is_given(message, "function_call") ||
          is_given(message, "audio")) {
        give_up(audit_gap::completion_not_text);
      }
    }
  }

  void add_completions(const json_object& reply) {
    for (const std::string_view element : reply.list("choices")) {
      ++choices_;
      add_text(json_object(element), "text");
    }
  }

  void add_response(const json_object& reply) {
    for (const std::string_view element : reply.list("output")) {
      const json_object item(element);
      const auto type = item.text("type");
      if (type == "reasoning") {
        thinks_ = true;
      } else if (type == "message") {
        ++choices_;
        for (const std::string_view part : item.list("content")) {
          add_text(json_object(part), "text");
          add_text(json_object(part), "refusal");
        }
      } else {
        give_up(audit_gap::completion_not_text);
      }
    }
  }

  bool thinks() const noexcept { return thinks_; }
  std::int64_t tokens() const noexcept { return tokens_; }
  std::int64_t choices() const noexcept { return choices_; }
  audit_gap gap() const noexcept { return choices_ == 0 ? audit_gap::completion_not_text : gap_; }

 private:
  void give_up(audit_gap why) {
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
  const json_object reply(reply_body);
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
    case audit_gap::prompt_extended:
      return "prompt_extended";
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
  const json_object body(asked.body);
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

std::optional<usd> excess_cost(const audited_request& audited, const token_usage& usage,
                               const model_prices& price, const serving& how) {
  token_usage fair = usage;
  if (audited.prompt) fair.prompt_tokens -= audited.prompt->excess();
  // The remaining prompt tokens keep their kinds; tokens of the plain kind are removed first.
  std::int64_t left = fair.prompt_tokens;
  for (const auto part : {&token_usage::cached_tokens, &token_usage::cache_write_tokens,
                          &token_usage::cache_write_1h_tokens, &token_usage::audio_prompt_tokens,
                          &token_usage::image_prompt_tokens}) {
    fair.*part = std::min(fair.*part, left);
    left -= fair.*part;
  }
  if (audited.completion) fair.completion_tokens -= audited.completion->excess();
  auto excess = price.cost(usage, how).cost;
  const auto rest = price.cost(fair, how).cost;
  if (!excess || !rest) return std::nullopt;
  *excess -= *rest;
  return excess;
}

std::optional<usd> unread_cost(std::int64_t tokens, const token_usage& usage,
                               const model_prices& price, const serving& how) {
  token_usage read = usage;
  const std::int64_t apart = usage.cached_tokens + usage.audio_prompt_tokens +
                             usage.image_prompt_tokens;  // neither plain nor written to the cache
  tokens =
      std::clamp<std::int64_t>(tokens, 0, std::max<std::int64_t>(usage.prompt_tokens - apart, 0));
  read.cached_tokens += tokens;
  // Tokens that are in the cache are not written again. The remaining ones were plain.
  for (const auto written :
       {&token_usage::cache_write_tokens, &token_usage::cache_write_1h_tokens}) {
    const std::int64_t unneeded = std::min(read.*written, tokens);
    read.*written -= unneeded;
    tokens -= unneeded;
  }
  auto more = price.cost(usage, how).cost;
  const auto rest = price.cost(read, how).cost;
  if (!more || !rest) return std::nullopt;
  *more -= *rest;
  return more;
}

}  // namespace sluice
