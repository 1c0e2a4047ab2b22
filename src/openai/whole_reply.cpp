#include "openai/whole_reply.hpp"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "json/same_key.hpp"
#include "json/text.hpp"
#include "openai/chunk.hpp"
#include "openai/error_body.hpp"
#include "openai/finish_reason.hpp"
#include "openai/http_failure.hpp"
#include "openai/usage_reader.hpp"
#include "openai/value_type.hpp"
#include "openai/vendor_errors.hpp"

namespace sluice::openai {
namespace {

namespace ondemand = simdjson::ondemand;

/// The facts that decide about a body, from one pass over it.
struct findings {
  bool refused = false;           ///< it has an `error` with content, or `success: false`
  std::size_t choices = 0;        ///< number of elements in `choices`
  bool misshapen = false;         ///< a choice has neither message nor text
  bool strange = false;           ///< a misshapen choice has something else instead
  bool unsaid = false;            ///< a choice has no finish reason and no content
  std::size_t data = 0;           ///< 1 if `data` is an array with elements, otherwise 0
  bool has_output = false;        ///< `output` is not empty
  std::string status;             ///< of a response object
  std::string id;                 ///< of a response object
  std::string incomplete_reason;  ///< of a response object
  /// The number of each finish reason; for responses, the status or reason instead.
  std::map<std::string, std::uint64_t> finish_reasons;
  usage_report usage;
  usage_report choice_usage;  ///< of the first choice that has one, as Moonshot sends it
  usage_report groq_usage;    ///< of `x_groq`
  std::string service_tier;
};

std::string string_or_empty(ondemand::value& value) {
  return is_string(value) ? std::string(value.get_string().value()) : std::string();
}

/// The members of a message that hold its content.
constexpr std::array<std::string_view, 7> contents = {
    "content", "refusal", "reasoning_content", "reasoning", "tool_calls", "function_call", "audio"};

/// Whether a message has content in any form.
bool says_something(ondemand::object message) {
  bool speaks = false;
  for (ondemand::field field : message) {
    const std::string_view key = field.unescaped_key();
    for (const std::string_view part : contents) {
      if (same_key(key, part)) speaks = is_truthy(raw_json(field.value())) || speaks;
    }
  }
  return speaks;
}

void read_choice(ondemand::object choice, endpoint target, findings& found) {
  bool shaped = false;
  bool speaks = false;
  bool ended = false;
  bool in_pieces = false;
  bool empty = false;
  for (ondemand::field field : choice) {
    const std::string_view key = field.unescaped_key();
    ondemand::value value = field.value();
    if (same_key(key, "finish_reason")) {
      const std::string reason = string_or_empty(value);
      ended = is_finish_reason(reason);
      if (ended) ++found.finish_reasons[reason];
    } else if (same_key(key, "message") && is_object(value)) {
      shaped = true;
      speaks = says_something(value.get_object()) || speaks;
    } else if (same_key(key, "message") || same_key(key, "delta")) {
      empty = empty || is_null(value);
      in_pieces = in_pieces || !is_null(value);
    } else if (same_key(key, "text")) {
      shaped = true;
      speaks = is_truthy(raw_json(value)) || speaks;
    } else if (same_key(key, "usage") && is_object(value) && !found.choice_usage.tokens) {
      found.choice_usage = read_usage(value.get_object(), target);
    }
  }
  // A choice that ended before its first word may have no message: all of it was reasoning, or it
  // was filtered.
  shaped = shaped || (ended && !in_pieces);
  found.misshapen = found.misshapen || !shaped;
  found.strange = found.strange || (!shaped && (in_pieces || !empty));
  found.unsaid = found.unsaid || (!ended && !speaks);
}

void read_choices(ondemand::value& list, endpoint target, findings& found) {
  if (!is_array(list)) return;
  for (ondemand::value choice : list.get_array()) {
    ++found.choices;
    if (is_object(choice)) {
      read_choice(choice.get_object(), target, found);
    } else {
      found.misshapen = true;
      found.strange = found.strange || !is_null(choice);
    }
  }
}

void read_groq(ondemand::object extra, endpoint target, findings& found) {
  for (ondemand::field field : extra) {
    const std::string_view key = field.unescaped_key();
    ondemand::value value = field.value();
    if (same_key(key, "usage") && is_object(value))
      found.groq_usage = read_usage(value.get_object(), target);
  }
}

void read_incomplete_details(ondemand::value& details, findings& found) {
  if (!is_object(details)) return;
  for (ondemand::field field : details.get_object()) {
    const std::string_view key = field.unescaped_key();
    if (same_key(key, "reason")) found.incomplete_reason = string_or_empty(field.value());
  }
}

findings walk(ondemand::object root, endpoint target) {
  findings found;
  for (ondemand::field field : root) {
    const std::string_view key = field.unescaped_key();
    ondemand::value value = field.value();
    if (same_key(key, "error")) {
      found.refused = found.refused || says_error(raw_json(value));
    } else if (same_key(key, "success")) {
      found.refused = found.refused || raw_json(value) == "false";
    } else if (same_key(key, "choices")) {
      read_choices(value, target, found);
    } else if (same_key(key, "data")) {
      if (is_array(value)) found.data = is_truthy(raw_json(value)) ? 1 : 0;
    } else if (same_key(key, "output")) {
      found.has_output = is_array(value) && is_truthy(raw_json(value));
    } else if (same_key(key, "status")) {
      found.status = string_or_empty(value);
    } else if (same_key(key, "id")) {
      found.id = string_or_empty(value);
    } else if (same_key(key, "incomplete_details")) {
      read_incomplete_details(value, found);
    } else if (same_key(key, "usage")) {
      if (is_object(value)) found.usage = read_usage(value.get_object(), target);
    } else if (same_key(key, "x_groq")) {
      if (is_object(value)) read_groq(value.get_object(), target, found);
    } else if (same_key(key, "service_tier")) {
      found.service_tier = string_or_empty(value);
    }
  }
  if (found.choices == 0 && found.data == 0 && !found.status.empty()) {
    const bool incomplete = found.status == "incomplete" && !found.incomplete_reason.empty();
    ++found.finish_reasons[incomplete ? found.incomplete_reason : found.status];
  }
  for (const usage_report& other : {found.choice_usage, found.groq_usage}) {
    if (!found.usage.tokens) found.usage.tokens = other.tokens;
    if (!found.usage.cost) found.usage.cost = other.cost;
    if (found.usage.speed.empty()) found.usage.speed = other.speed;
    if (found.usage.inference_geo.empty()) found.usage.inference_geo = other.inference_geo;
  }
  if (found.service_tier.empty()) found.service_tier = found.usage.service_tier;
  // With embeddings, a usage of zeros means that nothing was counted.
  if (found.data > 0 && found.usage.tokens == token_usage{}) found.usage.tokens.reset();
  return found;
}

/// Why a body is not a reply.
struct objection {
  std::string why;
  /// It does not have the shape of a reply, and the same request would bring no other result.
  bool unreadable = false;
};

std::optional<std::string> why_broken_off(const findings& found) {
  for (const auto& [reason, count] : found.finish_reasons) {
    if (is_broken_off(reason)) {
      return fmt::format("the reply broke off: its finish reason is {}", one_line(reason, 100));
    }
  }
  return std::nullopt;
}

/// nullopt: it is a reply.
std::optional<objection> objection_to(const findings& found, endpoint target) {
  if (found.refused) return objection{"the reply holds an error"};
  const bool ended_otherwise = found.status == "cancelled" || found.status == "failed";
  if (auto why = why_broken_off(found); why && !ended_otherwise) return objection{*std::move(why)};
  switch (target) {
    case endpoint::chat_completions:
    case endpoint::completions:
      if (found.choices == 0) return objection{"the reply has no choices"};
      if (found.misshapen) {
        return objection{"a choice of the reply has neither message nor text", found.strange};
      }
      if (found.unsaid) return objection{"a choice of the reply is empty and has no finish reason"};
      break;
    case endpoint::embeddings:
      if (found.data == 0) return objection{"the reply has no embeddings"};
      break;
    case endpoint::responses:
      if (found.status == "completed" || found.status == "incomplete") break;
      if (found.status == "failed") return objection{"the response failed"};
      if (found.status == "cancelled") return objection{"the response was cancelled"};
      if (!found.status.empty()) {
        return objection{fmt::format("the response is not done: {}", one_line(found.status, 100))};
      }
      if (!found.has_output) return objection{"the reply is no response object", true};
      break;
  }
  return std::nullopt;
}

/// The failure of an invalid body. If the body contains an error, its message is used.
failure invalid_body(std::string_view body, const objection& found, double now_unix) {
  failure failed = reported_failure(body, found.why, now_unix);
  failed.unreadable = found.unreadable && failed.message == found.why;
  return failed;
}

/// The error of a text that is not JSON, without its position. Replies that are damaged in the same
/// way have different lengths, and their errors should be the same text.
std::string fault_without_place(std::string_view fault) {
  return std::string(fault.substr(0, fault.rfind(" at byte ")));
}

/// Reads a text that is a JSON object. `checked`: json_fault() has accepted it.
findings findings_in(std::string_view object, endpoint target, bool checked) {
  static thread_local chunk_reader reader;  // keeps its buffers for the next call
  findings found = walk(checked ? reader.checked_object(object) : reader.object(object), target);
  reader.let_go();
  return found;
}

}  // namespace

// https://platform.openai.com/docs/guides/background
failure background_failure(std::string_view response) {
  findings found;
  try {
    found = findings_in(response, endpoint::responses, false);
  } catch (const simdjson::simdjson_error&) {
    // In this case it has no id.
  }
  failure failed = invalid_response(fmt::format(
      "the reply is made in the background (status {}): it can be had later at /v1/responses/{} "
      "and "
      "is not asked for again; without \"background\": true the request waits for it",
      one_line(found.status, 100), found.id.empty() ? "its id" : one_line(found.id, 200)));
  failed.kind = failure_class::permanent;
  failed.goes_on = true;
  return failed;
}

failure invalid_response(std::string message) {
  failure failed;
  failed.code = errc::invalid_response;
  failed.kind = failure_class::passing;
  failed.message = std::move(message);
  return failed;
}

boost::system::result<reply, failure> read_whole_reply(std::string text, endpoint target,
                                                       double now_unix) {
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  reply whole;
  whole.body = without_lone_surrogates(valid_utf8(std::move(text)));
  if (const auto fault = json_fault(whole.body)) {
    return invalid_body(
        whole.body, {fmt::format("the reply is not JSON: {}", fault_without_place(*fault)), true},
        now_unix);
  }
  // A line of an output file must not contain a newline. Other white space may stay.
  if (!whole.body.starts_with('{') || whole.body.find('\n') != std::string::npos ||
      whole.body.find('\r') != std::string::npos) {
    whole.body = json_compact(whole.body);
  }
  if (is_nested_deeper(whole.body, deepest_body)) {
    failure failed = invalid_response("the reply is nested deeper than 1,000 levels");
    failed.unreadable = true;
    return failed;
  }
  if (!whole.body.starts_with('{')) {
    return invalid_body(whole.body, {"the reply is not a JSON object", true}, now_unix);
  }
  findings found = findings_in(whole.body, target, true);
  const bool goes_on = found.status == "queued" || found.status == "in_progress";
  if (target == endpoint::responses && goes_on && !found.refused) {
    return background_failure(whole.body);
  }
  if (const auto why = objection_to(found, target)) {
    failure failed = invalid_body(whole.body, *why, now_unix);
    // Its choices were billed, so the next try must count as an attempt.
    const bool throttled = failed.kind == failure_class::throttled;
    if (throttled && found.choices > 0) failed.kind = failure_class::passing;
    return failed;
  }

  whole.usage = found.usage.tokens;
  whole.reported_cost = found.usage.cost;
  if (!found.service_tier.empty()) whole.service_tier = std::move(found.service_tier);
  whole.speed = std::move(found.usage.speed);
  whole.inference_geo = std::move(found.usage.inference_geo);
  whole.finish_reasons = std::move(found.finish_reasons);
  return whole;
}

}  // namespace sluice::openai
