#include "jobs/job_line.hpp"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "base/hash.hpp"
#include "jobs/job_kind.hpp"
#include "json/object.hpp"
#include "json/outline.hpp"
#include "json/text.hpp"
#include "sluice/reply_check.hpp"

namespace sluice {
namespace {

// A body to which options are applied: its text, and its members in that text.
class body_text {
 public:
  explicit body_text(std::string_view text) : text_(text) { scan(); }
  // For members that are already known; their views point into `text`.
  body_text(std::string_view text, std::vector<json_member> known) : members_(std::move(known)) {
    constexpr std::size_t usual_additions = 64;
    text_.reserve(text.size() + usual_additions);
    text_ = text;
    for (json_member& member : members_) {
      member.begin = static_cast<std::size_t>(member.key.data() - text.data()) - 1;
      member.end =
          static_cast<std::size_t>(member.value.data() - text.data()) + member.value.size();
    }
    move_views();
  }
  body_text(const body_text&) = delete;
  body_text& operator=(const body_text&) = delete;

  const json_member* find(std::string_view key) const { return find_member(members_, key); }
  bool has(std::string_view key) const { return find(key) != nullptr; }
  const std::string& text() const noexcept { return text_; }
  std::string take() { return std::move(text_); }

  // Adds `"key":value` at the end of the object.
  void append(std::string_view key, std::string_view value) {
    const std::size_t close = text_.rfind('}');
    std::string written(members_.empty() ? "" : ",");
    const std::size_t begin = close + written.size();
    written.append("\"").append(key).append("\":").append(value);
    text_.insert(close, written);
    members_.push_back({.key = key,
                        .escaped = false,
                        .value = value,
                        .begin = begin,
                        .end = close + written.size()});
    move_views();
  }
  void replace(const json_member& member, std::string_view key, std::string_view value) {
    text_.replace(member.begin, member.end - member.begin, fmt::format("\"{}\":{}", key, value));
    scan();
  }
  // Replaces every member that has this name.
  void replace_each(std::string_view key, std::string_view value) {
    std::string made;
    std::size_t copied = 0;
    for (const json_member& member : members_) {
      if (!is_named(member, key)) continue;
      made.append(text_, copied, member.begin - copied);
      made += fmt::format("\"{}\":{}", key, value);
      copied = member.end;
    }
    set(made.append(text_, copied));
  }
  // Removes every member that has this name, with its comma.
  void remove_each(std::string_view key) {
    if (!has(key)) return;
    // The comma after the members up to here belongs to the last one.
    std::size_t kept = members_.size();
    while (kept > 0 && is_named(members_[kept - 1], key)) --kept;
    std::string made;
    std::size_t copied = 0;
    for (std::size_t i = 0; i < kept; ++i) {
      if (!is_named(members_[i], key)) continue;
      made.append(text_, copied, members_[i].begin - copied);
      copied = members_[i + 1].begin;
    }
    if (kept < members_.size()) {
      const std::size_t end =
          kept == 0 ? members_.front().begin : text_.find(',', members_[kept - 1].end);
      made.append(text_, copied, end - copied);
      copied = members_.back().end;
    }
    set(made.append(text_, copied));
  }

 private:
  void set(std::string& text) {
    text_ = std::move(text);
    scan();
  }
  void scan() { members_ = json_object(text_).members(); }
  // The text may be at another place in memory than before.
  void move_views() {
    for (json_member& member : members_) {
      member.key = {text_.data() + member.begin + 1, member.key.size()};
      member.value = {text_.data() + member.end - member.value.size(), member.value.size()};
    }
  }

  std::string text_;
  std::vector<json_member> members_;
};

// The path without slashes around it and without a leading version; the base URL provides those.
std::string_view endpoint_tail(std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  while (path.ends_with('/')) path.remove_suffix(1);
  const std::size_t slash = path.find('/');
  const bool versioned = path.size() > 1 && path[0] == 'v' && path[1] >= '0' && path[1] <= '9';
  return versioned && slash != std::string_view::npos ? path.substr(slash + 1) : path;
}

std::optional<endpoint> endpoint_at(std::string_view url) {
  for (const auto target : {endpoint::chat_completions, endpoint::completions, endpoint::embeddings,
                            endpoint::responses}) {
    const std::string_view whole = to_string(target);
    if (url == whole || endpoint_tail(url) == endpoint_tail(whole)) return target;
  }
  return std::nullopt;
}

// The endpoint that a JSON value names. The value is nearly always a string without escapes.
std::optional<endpoint> endpoint_of(std::string_view value) {
  if (value.front() == '"' && value.find('\\') == std::string_view::npos) {
    return endpoint_at(value.substr(1, value.size() - 2));
  }
  const auto text = json_string(value);
  return text ? endpoint_at(*text) : std::nullopt;
}

// The beginning of a value, long enough for a message.
std::string shortened(std::string_view value) {
  constexpr std::size_t longest = 200;
  return fmt::format("{}{}", utf8_prefix(value, longest), value.size() > longest ? "…" : "");
}

// The message for a url that names no endpoint; it says what to write.
std::string wrong_url(std::string_view value) {
  const auto has = [&](std::string_view part) {
    return value.find(part) != std::string_view::npos;
  };
  if (has("/deployments/") || has("api-version=")) {
    return fmt::format(
        "url {} is of an Azure deployment; write \"/chat/completions\" as url, and the "
        "deployment's name as the body's model.",
        shortened(value));
  }
  if (has("://")) {
    return fmt::format(
        "url {} is a whole address, and --base-url says where requests go; write its end alone, as "
        "in \"/v1/chat/completions\".",
        shortened(value));
  }
  return fmt::format(
      "url {} is none of /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/responses.",
      shortened(value));
}

// The id if it is a string or a number (as written); nothing for other values.
std::optional<std::string> id_text(std::string_view value) {
  const bool number = value.front() == '-' || (value.front() >= '0' && value.front() <= '9');
  return number ? std::string(value) : json_string_wtf8(value);
}

std::optional<endpoint> endpoint_for(const body_text& body, const job_options& options,
                                     std::string_view model) {
  if (options.target) return options.target;
  if (body.has("messages") || body.has("prompt")) return endpoint::chat_completions;
  if (!body.has("input")) return std::nullopt;
  return model.find("embedding") != std::string_view::npos ? endpoint::embeddings
                                                           : endpoint::responses;
}

std::string message_text(std::string_view role, std::string_view content_json) {
  return fmt::format(R"({{"role":"{}","content":{}}})", role, content_json);
}

bool has_system_message(std::string_view messages) {
  const auto elements = json_elements(messages).value_or(std::vector<std::string_view>{});
  return std::any_of(elements.begin(), elements.end(), [](std::string_view element) {
    const json_object message(element);
    return message.value("role") == R"("system")" || message.value("role") == R"("developer")";
  });
}

void add_system_message(body_text& body, endpoint target, const std::string& system) {
  const std::string quoted = json_quote(system);
  if (target == endpoint::responses && !body.has("instructions"))
    body.append("instructions", quoted);
  if (target != endpoint::chat_completions) return;
  const json_member* messages = body.find("messages");
  if (messages == nullptr || messages->value.front() != '[' ||
      has_system_message(messages->value)) {
    return;
  }
  const std::string_view rest = messages->value.substr(1);
  const bool empty = rest[rest.find_first_not_of(" \t\r\n")] == ']';
  body.replace(*messages, "messages",
               fmt::format("[{}{}{}", message_text("system", quoted), empty ? "" : ",", rest));
}

bool says_nothing(const json_member& model) {
  return model.value == "null" || model.value == "\"\"";
}

std::uint64_t positive(const json_member* member) {
  unsigned value = 1;
  if (member != nullptr) {
    const char* const end = member->value.data() + member->value.size();
    const auto read = std::from_chars(member->value.data(), end, value);
    if (read.ec == std::errc::result_out_of_range) return request::most_choices;
  }
  return std::max(value, 1U);
}

// OpenAI's reasoning models refuse max_tokens. Models of other vendors may not know the newer name:
// https://developers.openai.com/api/docs/guides/reasoning.
bool takes_newer_limit(std::string_view model) {
  if (const std::size_t slash = model.rfind('/'); slash != std::string_view::npos)
    model.remove_prefix(slash + 1);
  const auto digit_at = [&](std::size_t at, char least) {
    return at < model.size() && model[at] >= least && model[at] <= '9';
  };
  return (model.starts_with('o') && digit_at(1, '1')) ||
         (model.starts_with("gpt-") && digit_at(4, '5'));
}

// Limits the length of the reply if the body does not.
void add_reply_limit(body_text& body, endpoint target, std::string_view model,
                     const std::optional<std::int64_t>& limit) {
  if (!limit || target == endpoint::embeddings) return;
  const auto limits = [&](std::string_view name) {
    const json_member* member = body.find(name);
    return member != nullptr && member->value != "null";
  };
  if (limits("max_tokens") || limits("max_completion_tokens") || limits("max_output_tokens"))
    return;
  const std::string_view name = target == endpoint::responses     ? "max_output_tokens"
                                : target == endpoint::completions ? "max_tokens"
                                : takes_newer_limit(model)        ? "max_completion_tokens"
                                                                  : "max_tokens";
  if (body.has(name)) {
    body.replace_each(name, std::to_string(*limit));
  } else {
    body.append(name, std::to_string(*limit));
  }
}

// Returns true if the reply will come as a stream.
bool add_stream_fields(body_text& body, endpoint target, const job_options& options) {
  if (target == endpoint::embeddings) return false;
  const json_member* stream = body.find("stream");
  const bool named = stream != nullptr;
  const bool streamed = named ? stream->value == "true" : options.stream;
  if (!streamed || !options.stream) return streamed;
  if (!named) body.append("stream", "true");
  if (options.include_usage && target != endpoint::responses && !body.has("stream_options")) {
    body.append("stream_options", R"({"include_usage":true})");
  }
  return true;
}

}  // namespace

unsigned choices_asked(const json_member* n, const json_member* prompt, endpoint target) {
  if (target != endpoint::chat_completions && target != endpoint::completions) return 1;
  std::uint64_t choices = positive(n);
  if (target == endpoint::completions && prompt != nullptr) {
    const auto prompts = json_elements(prompt->value);
    const char first = prompts && !prompts->empty() ? prompts->front().front() : ' ';
    if (first == '"' || first == '[') choices *= prompts->size();
  }
  return static_cast<unsigned>(std::min<std::uint64_t>(choices, request::most_choices));
}

bad_line line_too_long(std::uint64_t number, const job_options& options) {
  return {
      number, fmt::format("line-{}", number), errc::invalid_json_line,
      fmt::format("The line is longer than {} bytes (--max-line-bytes).", options.max_line_bytes)};
}

bad_line duplicate_line(std::uint64_t number, std::string custom_id) {
  return {number, std::move(custom_id), errc::duplicate_custom_id,
          "The custom_id for this request is a duplicate of another request; it must be unique in "
          "the job."};
}

boost::system::result<request, bad_line> parse_job_line(std::string_view line, std::uint64_t number,
                                                        const job_options& options) {
  bad_line bad{number, fmt::format(FMT_COMPILE("line-{}"), number), errc::invalid_json_line, {}};
  const auto invalid = [&](std::string message) {
    bad.code = errc::invalid_request_line;
    bad.message = std::move(message);
    return bad;
  };

  auto outline = outline_json(line, "body");
  if (!outline) {
    const auto fault = json_fault(line);
    if (!fault) return invalid("The line is not a JSON object.");
    bad.message = "This line is not parseable as valid JSON: " + *fault;
    if (*fault == "invalid UTF-8") bad.message += "; save the job as UTF-8";
    return bad;
  }
  json_object outer(std::move(outline->members));

  request result;
  result.line = number;
  result.custom_id = bad.custom_id;
  if (outer.has_value("custom_id")) {
    auto text = id_text(outer.value("custom_id"));
    if (!text) return invalid("custom_id is neither a string nor a number.");
    result.custom_id = *text;
    bad.custom_id = std::move(*text);
  }

  if (const foreign_form* form = foreign_line(outer))
    return invalid(fmt::format("This line is {}; {}.", form->line, form->advice));

  const json_member* body_member = outer.find("body");
  const json_member* url = outer.find("url");
  const json_member* method = outer.find("method");
  const bool batch_form = body_member != nullptr || url != nullptr || method != nullptr;
  std::optional<endpoint> named_target;
  if (batch_form) {
    if (method != nullptr && json_string(method->value) != "POST") {
      return invalid(
          fmt::format("method is {}; only \"POST\" can be sent.", shortened(method->value)));
    }
    if (body_member == nullptr) return invalid("The line has no body.");
    if (body_member->value.front() != '{') return invalid("body is not a JSON object.");
    if (url != nullptr) {
      named_target = endpoint_of(url->value);
      if (!named_target) return invalid(wrong_url(url->value));
    } else if (!options.target) {
      return invalid("The line has no url; add one, or name the endpoint with --endpoint.");
    }
  }

  const std::size_t open = line.find('{');
  const bool opened = batch_form && outline->opened < outer.members().size() &&
                      body_member == &outer.members()[outline->opened];
  body_text body = opened       ? body_text(body_member->value, std::move(outline->inner))
                   : batch_form ? body_text(body_member->value)
                                : body_text(line.substr(open, line.rfind('}') + 1 - open),
                                            std::move(outer).members());
  if (!batch_form) body.remove_each("custom_id");

  const json_member* model = body.find("model");
  if (model != nullptr && says_nothing(*model)) model = nullptr;
  if (model != nullptr) {
    auto text = json_string(model->value);
    if (!text) return invalid("model is not a string.");
    result.model = std::move(*text);
  } else {
    result.model = options.model;
  }
  if (!options.model.empty() && options.override_model) result.model = options.model;
  if (result.model.empty()) {
    bad.lacks_model = true;
    return invalid("The line names no model; give one with --model.");
  }

  const auto target = named_target ? named_target : endpoint_for(body, options, result.model);
  if (!target) return invalid("The line has neither messages nor prompt nor input.");
  result.target = *target;

  if (const json_member* prompt = body.find("prompt");
      !batch_form && prompt != nullptr && *target == endpoint::chat_completions) {
    if (body.has("messages")) return invalid("The line has both prompt and messages.");
    if (prompt->value.front() != '"') return invalid("prompt is not a string.");
    body.replace(*prompt, "messages", "[" + message_text("user", std::string(prompt->value)) + "]");
    body.remove_each("prompt");
  }
  if (!options.system.empty()) add_system_message(body, *target, options.system);
  if (const json_member* present = body.find("model")) {
    if (!options.model.empty() && options.override_model) {
      body.replace_each("model", json_quote(result.model));
    } else if (says_nothing(*present)) {
      body.replace(*present, "model", json_quote(result.model));
    }
  } else {
    body.append("model", json_quote(result.model));
  }

  result.digest = digest_of(to_string(*target), body.text());
  result.choices = choices_asked(body.find("n"), body.find("prompt"), *target);
  add_reply_limit(body, *target, result.model, options.max_tokens);
  const bool stream_named = body.has("stream") || body.has("stream_options");
  const std::size_t plain = body.text().size();
  result.streamed = add_stream_fields(body, *target, options);
  result.body = body.take();
  if (result.streamed && !stream_named) {
    result.stream_fields = static_cast<std::uint32_t>(result.body.size() - plain);
  }
  if (options.expect) {
    if (auto why = options.expect->why_unchecked(result)) return invalid(*std::move(why));
  }
  return result;
}

}  // namespace sluice
