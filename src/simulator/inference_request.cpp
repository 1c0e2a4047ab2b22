#include "simulator/inference_request.hpp"

#include <simdjson.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <unordered_set>

#include "simulator/json_append.hpp"
#include "simulator/model_facts.hpp"
#include "simulator/picture.hpp"
#include "simulator/question.hpp"
#include "simulator/random.hpp"
#include "simulator/utterance.hpp"

namespace sluice::simulator {
namespace {

namespace dom = simdjson::dom;

constexpr std::uint64_t tokens_of_file = 85;
/// The maximum number of prompts or inputs in a call, and of the numbers in all its vectors: the
/// longest list in the largest dimension of real models.
constexpr std::size_t longest_list = 2048;
constexpr std::size_t most_numbers = longest_list * 3072;
/// Prompts are cached by prefixes of at least `cache_minimum` tokens, in steps of `cache_step`.
constexpr std::uint64_t cache_minimum = 1024;
constexpr std::uint64_t cache_step = 128;

std::uint64_t digest_text(std::string_view text, std::uint64_t seed) {
  return XXH3_64bits_withSeed(text.data(), text.size(), seed);
}

std::uint64_t digest_value(dom::element value, std::uint64_t seed) {
  switch (value.type()) {
    case dom::element_type::OBJECT:
      for (const auto field : dom::object(value))
        seed = digest_value(field.value, digest_text(field.key, seed));
      return mix(seed, 1);
    case dom::element_type::ARRAY:
      for (const auto item : dom::array(value)) seed = digest_value(item, seed);
      return mix(seed, 2);
    case dom::element_type::STRING:
      return digest_text(std::string_view(value), seed);
    case dom::element_type::DOUBLE:
      return mix(seed, std::bit_cast<std::uint64_t>(double(value)));
    case dom::element_type::INT64:
      return mix(seed, static_cast<std::uint64_t>(std::int64_t(value)));
    case dom::element_type::UINT64:
      return mix(seed, std::uint64_t(value));
    case dom::element_type::BOOL:
      return mix(seed, bool(value) ? 3 : 4);
    case dom::element_type::NULL_VALUE:
      return mix(seed, 5);
  }
  return seed;
}

std::uint64_t digest_body(dom::object body, std::uint64_t seed) {
  for (const auto field : body)
    if (field.key != "stream" && field.key != "stream_options")
      seed = digest_value(field.value, digest_text(field.key, seed));
  return seed;
}

/// The member, if it exists and has type T.
template <class T>
std::optional<T> member(dom::object object, std::string_view name) {
  T value;
  if (object[name].get(value) != simdjson::SUCCESS) return std::nullopt;
  return value;
}

/// Counts the tokens of a prompt: its texts and the overhead around them. Without a vocabulary a
/// token is four bytes, rounded up.
class prompt_counter {
 public:
  prompt_counter(const tokenizer* vocabulary, std::string_view model)
      : vocabulary_(vocabulary), model_(model) {}

  void text(std::string_view text) {
    const auto counted = vocabulary_ == nullptr ? std::nullopt : vocabulary_->count(text);
    tokens_ += counted.value_or((text.size() + 3) / 4);
    const auto part = text.substr(0, prefix_room_);
    prefix_ = digest_text(part, prefix_);
    prefix_room_ -= part.size();
  }
  void overhead(std::uint64_t tokens) { tokens_ += tokens; }

  /// Adds a string, a list of strings and typed parts, or a list of numbers.
  void content(dom::element value) {
    if (value.is_string()) return text(std::string_view(value));
    if (value.is_number()) return overhead(1);
    if (!value.is_array()) return;
    for (const auto part : dom::array(value)) {
      dom::object typed;
      if (part.get(typed) != simdjson::SUCCESS)
        content(part);
      else
        typed_part(typed);
    }
  }

  /// Adds a message: 3 tokens, its role, its content, and its name with 1 token more. Or a call of
  /// a function, or its result, in the input of a response.
  void message(dom::object message) {
    overhead(3);
    text_of_role(member<std::string_view>(message, "role").value_or("user"));
    for (const auto* name : {"content", "arguments", "output"})
      if (const auto body = member<dom::element>(message, name)) content(*body);
    if (const auto name = member<std::string_view>(message, "name")) {
      overhead(1);
      text(*name);
    }
    if (const auto calls = member<dom::array>(message, "tool_calls")) json(*calls);
    if (const auto call = member<dom::object>(message, "function_call")) json(*call);
  }

  /// Adds the text of a JSON value.
  template <class Value>
  void json(Value value) {
    text(simdjson::minify(value));
  }

  std::uint64_t tokens() const { return tokens_; }

  /// Whether the prompt is long enough for the cache.
  bool is_long() const { return tokens_ >= cache_minimum; }
  /// A hash of its beginning.
  std::uint64_t opening() const { return prefix_; }
  /// The number of tokens that the cache saves if it has this beginning.
  std::uint64_t cacheable() const { return tokens_ / cache_step * cache_step; }

 private:
  void typed_part(dom::object part) {
    for (const auto* name : {"text", "refusal"})
      if (const auto words = member<std::string_view>(part, name)) return text(*words);
    const auto type = member<std::string_view>(part, "type");
    if (type == "image_url" || type == "input_image")
      picture(part);
    else
      overhead(tokens_of_file);
  }

  /// Adds a picture in the nested form of chat or the flat form of responses.
  void picture(dom::object part) {
    const auto image = member<dom::object>(part, "image_url");
    const auto url = image ? member<std::string_view>(*image, "url")
                           : member<std::string_view>(part, "image_url");
    const auto detail = member<std::string_view>(image.value_or(part), "detail");
    overhead(tokens_of_picture(model_, url.value_or(""), detail == "low"));
  }

  void text_of_role(std::string_view role) {
    tokens_ += (vocabulary_ == nullptr ? std::nullopt : vocabulary_->count(role)).value_or(1);
  }

  const tokenizer* vocabulary_;
  std::string_view model_;
  std::uint64_t tokens_ = 0;
  std::size_t prefix_room_ = cache_minimum * 4;
  std::uint64_t prefix_ = 0;
};

/// Appends a value with the types that a JSON schema requires.
void append_sample(std::string& out, dom::object schema, random& random, int depth = 0) {
  if (const auto choices = member<dom::array>(schema, "enum"); choices && choices->size() > 0)
    return append(out, simdjson::minify(choices->at(0).value_unsafe()));
  const auto type = member<std::string_view>(schema, "type").value_or("object");
  if (type == "integer" || type == "number") return append(out, random.below(100));
  if (type == "boolean") return append(out, random.below(2) == 0 ? "false" : "true");
  if (type == "null") return append(out, "null");
  if (type == "string") return append(out, quoted{noun(random)});
  if (type == "array") {
    out += '[';
    if (const auto items = member<dom::object>(schema, "items"); items && depth < 16)
      append_sample(out, *items, random, depth + 1);
    out += ']';
    return;
  }
  out += '{';
  if (const auto properties = member<dom::object>(schema, "properties"); properties && depth < 16) {
    const char* separator = "";
    for (const auto [name, value] : *properties) {
      append(out, separator, quoted{name}, ":");
      separator = ",";
      dom::object inner;
      if (value.get(inner) == simdjson::SUCCESS)
        append_sample(out, inner, random, depth + 1);
      else
        out += "null";
    }
  }
  out += '}';
}

/// The function of a tool, in the nested form of chat or the flat form of responses.
std::optional<dom::object> function_of(dom::object tool) {
  if (const auto nested = member<dom::object>(tool, "function")) return nested;
  return member<std::string_view>(tool, "name") ? std::optional(tool) : std::nullopt;
}

/// The text of a string, or of a list of strings and typed parts.
std::string words_of(dom::element content) {
  if (content.is_string()) return std::string(std::string_view(content));
  std::string words;
  dom::array parts;
  if (content.get(parts) != simdjson::SUCCESS) return words;
  for (const auto part : parts) {
    dom::object typed;
    if (part.is_string())
      words += std::string_view(part);
    else if (part.get(typed) == simdjson::SUCCESS)
      words += member<std::string_view>(typed, "text").value_or("");
  }
  return words;
}

/// The text of the user's last message.
std::string last_of_user(dom::array messages) {
  std::optional<dom::element> last;
  for (const auto item : messages) {
    dom::object message;
    if (item.get(message) != simdjson::SUCCESS ||
        member<std::string_view>(message, "role").value_or("user") != "user")
      continue;
    if (const auto content = member<dom::element>(message, "content")) last = content;
  }
  return last ? words_of(*last) : std::string();
}

/// Sets the fields that depend on the text of the question.
void read_question(std::string_view question, inference_request& request) {
  request.in_chinese = mostly_chinese(question);
  if (request.tool.empty() && request.document.empty())
    request.document = answer_to_trick(question, is_easily_fooled(request.serving_model));
}

/// Sets the tool call if the body's `tool_choice` requires one.
void read_tools(dom::object body, inference_request& request) {
  const auto tools = member<dom::array>(body, "tools");
  if (!tools) return;
  std::string_view wanted;
  if (const auto choice = member<dom::object>(body, "tool_choice")) {
    const auto function = function_of(*choice);
    wanted = function ? member<std::string_view>(*function, "name").value_or("") : "";
    request.tool_named = true;
  } else if (member<std::string_view>(body, "tool_choice") != "required") {
    return;
  }
  for (const auto item : *tools) {
    dom::object tool;
    if (item.get(tool) != simdjson::SUCCESS) continue;
    const auto function = function_of(tool);
    const auto name = function ? member<std::string_view>(*function, "name") : std::nullopt;
    if (!name || (!wanted.empty() && *name != wanted)) continue;
    request.tool = *name;
    random random(mix(request.digest, digest_text(*name, 0)));
    if (const auto parameters = member<dom::object>(*function, "parameters"))
      append_sample(request.document, *parameters, random);
    else
      request.document = "{}";
    return;
  }
}

/// The format of the answer: chat's `response_format` or `text.format`.
std::optional<dom::object> format_in(dom::object body) {
  if (const auto text = member<dom::object>(body, "text"))
    return member<dom::object>(*text, "format");
  return member<dom::object>(body, "response_format");
}

/// The schema in a format.
std::optional<dom::object> schema_in(dom::object format) {
  if (member<std::string_view>(format, "type") != "json_schema") return std::nullopt;
  const auto nested = member<dom::object>(format, "json_schema").value_or(format);
  return member<dom::object>(nested, "schema");
}

/// Adds the text of the tools and of the schema to the prompt: a model reads them, too.
void count_form(dom::object body, const missing_features& lacks, prompt_counter& prompt) {
  for (const auto* name : {"tools", "functions"}) {
    const auto list = member<dom::array>(body, name);
    if (!lacks.tools && list && list->size() > 0) prompt.json(*list);
  }
  const auto format = format_in(body);
  const auto schema = format ? schema_in(*format) : std::nullopt;
  if (!lacks.json_schema && schema) prompt.json(*schema);
}

/// Sets the answer if the body requests JSON.
void read_format(dom::object body, bool lacks_schemas, inference_request& request) {
  const auto format = format_in(body);
  if (!format) return;
  random random(mix(request.digest, digest_text("format", 0)));
  if (member<std::string_view>(*format, "type") == "json_object")
    append(request.document, R"({"answer":)", quoted{noun(random)}, "}");
  else if (const auto schema = schema_in(*format); schema && !lacks_schemas)
    append_sample(request.document, *schema, random);
  request.asks_for_json = !request.document.empty();
}

/// Sets the tool call or the document that the body requests, if the relay supports it.
void read_form(dom::object body, const missing_features& lacks, inference_request& request) {
  if (!lacks.tools) read_tools(body, request);
  if (request.tool.empty()) read_format(body, lacks.json_schema, request);
}

using problem = std::optional<api_error>;

api_error invalid(std::string message) {
  return {400, std::move(message), "invalid_text_request"};
}

problem read_chat(dom::object body, const missing_features& lacks, inference_request& request,
                  prompt_counter& prompt) {
  const auto messages = member<dom::array>(body, "messages");
  if (!messages || messages->size() == 0) return invalid("field messages is required");
  count_form(body, lacks, prompt);
  for (const auto item : *messages) {
    dom::object message;
    if (item.get(message) != simdjson::SUCCESS) return invalid("a message is not an object");
    prompt.message(message);
  }
  prompt.overhead(3);
  read_form(body, lacks, request);
  read_question(last_of_user(*messages), request);
  request.logprobs = !lacks.logprobs && member<bool>(body, "logprobs").value_or(false);
  request.top_logprobs = static_cast<std::size_t>(
      std::clamp<std::int64_t>(member<std::int64_t>(body, "top_logprobs").value_or(0), 0, 20));
  return std::nullopt;
}

problem read_completions(dom::object body, inference_request& request, prompt_counter& prompt) {
  const auto input = member<dom::element>(body, "prompt");
  if (!input || input->is_null()) return invalid("field prompt is required");
  prompt.content(*input);
  // Each prompt of a list gets its own answer; a list of numbers is one prompt of token ids.
  dom::array list;
  if (input->get(list) == simdjson::SUCCESS && list.size() > 0 &&
      !dom::element(list.at(0).value_unsafe()).is_number())
    request.choices *= list.size();
  if (request.choices > longest_list) return invalid("prompt is too long");
  read_question(words_of(*input), request);
  // This endpoint has a default length.
  if (!request.max_tokens) request.max_tokens = 16;
  return std::nullopt;
}

problem read_responses(dom::object body, const missing_features& lacks, inference_request& request,
                       prompt_counter& prompt) {
  const auto input = member<dom::element>(body, "input");
  if (!input || input->is_null()) return invalid("field input is required");
  count_form(body, lacks, prompt);
  if (const auto instructions = member<std::string_view>(body, "instructions")) {
    prompt.overhead(4);
    prompt.text(*instructions);
  }
  dom::array items;
  const bool listed = input->get(items) == simdjson::SUCCESS;
  if (listed) {
    for (const auto item : items) {
      dom::object message;
      if (item.get(message) == simdjson::SUCCESS) prompt.message(message);
    }
  } else {
    prompt.overhead(4);
    prompt.content(*input);
  }
  prompt.overhead(3);
  request.choices = 1;
  read_form(body, lacks, request);
  read_question(listed ? last_of_user(items) : words_of(*input), request);
  return std::nullopt;
}

problem read_embeddings(dom::object body, inference_request& request, prompt_counter& prompt) {
  const auto input = member<dom::element>(body, "input");
  if (!input || !(input->is_string() || input->is_array()))
    return invalid("field input is required");
  prompt.content(*input);
  dom::array list;
  if (input->get(list) == simdjson::SUCCESS && list.size() > 0 &&
      !dom::element(list.at(0).value_unsafe()).is_number()) {
    if (list.size() > longest_list) return invalid("input is too long");
    for (const auto item : list) request.inputs.push_back(digest_value(item, 0));
  } else {
    request.inputs.push_back(digest_value(*input, 0));
  }
  const auto dimensions = member<std::int64_t>(body, "dimensions").value_or(8);
  if (dimensions < 1 || dimensions > 4096) return invalid("dimensions is invalid");
  request.dimensions = static_cast<std::size_t>(dimensions);
  if (request.inputs.size() * request.dimensions > most_numbers)
    return invalid("input is too long");
  request.base64 = member<std::string_view>(body, "encoding_format") == "base64";
  return std::nullopt;
}

void read_stops(dom::object body, inference_request& request) {
  const auto stop = member<dom::element>(body, "stop");
  if (!stop) return;
  const auto add = [&request](dom::element item) {
    std::string_view text;
    if (item.get(text) == simdjson::SUCCESS && !text.empty()) request.stop.emplace_back(text);
  };
  add(*stop);
  dom::array list;
  if (stop->get(list) != simdjson::SUCCESS) return;
  for (const auto item : list) add(item);
}

problem read_common(dom::object body, inference_request& request) {
  request.stream =
      request.to != endpoint::embeddings && member<bool>(body, "stream").value_or(false);
  if (const auto stream = member<dom::object>(body, "stream_options"))
    request.include_usage = member<bool>(*stream, "include_usage").value_or(false);

  for (const auto* name : {"max_completion_tokens", "max_tokens", "max_output_tokens"}) {
    const auto limit = member<dom::element>(body, name);
    if (!limit || limit->is_null()) continue;
    std::int64_t tokens = 0;
    if (limit->get(tokens) != simdjson::SUCCESS || tokens < 1)
      return invalid(std::string(name) + " is invalid");
    request.max_tokens = static_cast<std::uint64_t>(tokens);
    request.limit_name = name;
    break;
  }
  const auto choices = member<std::int64_t>(body, "n").value_or(1);
  if (choices < 1 || choices > 128) return invalid("n is invalid");
  request.choices = static_cast<std::size_t>(choices);
  read_stops(body, request);
  return std::nullopt;
}

}  // namespace

std::optional<endpoint> endpoint_at(std::string_view path) {
  if (path == "/v1/chat/completions") return endpoint::chat;
  if (path == "/v1/completions") return endpoint::completions;
  if (path == "/v1/embeddings") return endpoint::embeddings;
  if (path == "/v1/responses") return endpoint::responses;
  return std::nullopt;
}

struct request_reader::impl {
  std::uint64_t seed = 0;
  missing_features lacks;
  std::uint64_t chat_overhead = 0;
  deal terms;
  prompt_cache cache = prompt_cache::by_text;
  // hashes of the beginnings of earlier prompts, for prompt_cache::memory
  std::unordered_set<std::uint64_t> openings;
  dom::parser parser;

  bool has_cached(std::uint64_t opening, std::string_view model) {
    switch (cache) {
      case prompt_cache::by_text:
        return random(opening).below(2) != 0;
      case prompt_cache::memory:
        return !openings.insert(digest_text(model, opening)).second;
      case prompt_cache::none:
        break;
    }
    return false;
  }
};

request_reader::request_reader(std::uint64_t seed) : impl_(std::make_unique<impl>()) {
  impl_->seed = seed;
}

request_reader::request_reader(const options& settings) : request_reader(settings.seed) {
  impl_->lacks = settings.lacks;
  impl_->chat_overhead = settings.chat_overhead;
  impl_->cache = settings.cache;
  impl_->terms = deal(settings.cheat, settings.seed);
}

request_reader::~request_reader() = default;

std::variant<inference_request, api_error> request_reader::read(endpoint to, std::string_view body,
                                                                std::uint64_t number) {
  dom::element document;
  dom::object fields;
  if (impl_->parser.parse(body.data(), body.size()).get(document) != simdjson::SUCCESS ||
      document.get(fields) != simdjson::SUCCESS)
    return invalid("the body is not a JSON object");

  inference_request request;
  request.to = to;
  request.number = number;
  request.model = member<std::string_view>(fields, "model").value_or("");
  if (request.model.empty()) return invalid("model is required");
  request.serving_model = impl_->terms.serving_model(request.model, number);
  request.vocabulary = tokenizer_of(request.serving_model);
  request.digest = digest_body(fields, mix(impl_->seed, static_cast<std::uint64_t>(to)));

  if (auto error = read_common(fields, request)) return *std::move(error);
  prompt_counter prompt(request.vocabulary, request.serving_model);
  problem error;
  switch (to) {
    case endpoint::chat:
      error = read_chat(fields, impl_->lacks, request, prompt);
      prompt.overhead(impl_->chat_overhead);
      break;
    case endpoint::completions:
      error = read_completions(fields, request, prompt);
      break;
    case endpoint::responses:
      error = read_responses(fields, impl_->lacks, request, prompt);
      break;
    case endpoint::embeddings:
      error = read_embeddings(fields, request, prompt);
      break;
  }
  if (error) return *std::move(error);
  if (to == endpoint::chat || to == endpoint::responses)
    prompt.overhead(impl_->terms.hidden_prompt());
  request.prompt_tokens = prompt.tokens();
  if (to != endpoint::embeddings && prompt.is_long() &&
      impl_->has_cached(prompt.opening(), request.model))
    request.cached_tokens = prompt.cacheable();
  request.endless = impl_->terms.ignores_limits();
  return request;
}

}  // namespace sluice::simulator
