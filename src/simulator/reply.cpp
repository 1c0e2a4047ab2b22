#include "simulator/reply.hpp"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "simulator/json_append.hpp"
#include "simulator/model_facts.hpp"
#include "simulator/random.hpp"

namespace sluice::simulator {
namespace {

constexpr std::string_view end_of_stream = "data: [DONE]\n\n";

/// A random length between 0.5 and 1.5 times the mean.
std::uint64_t around(random& random, std::uint64_t mean) {
  return mean / 2 + random.below(static_cast<std::uint32_t>(mean + 1));
}

std::string_view chat_finish(const inference_request& request, const spoken_choice& choice) {
  if (choice.cut_short) return "length";
  // OpenAI ends a tool call that the body requires by name with "stop".
  return request.tool.empty() || request.tool_named ? "stop" : "tool_calls";
}

std::string tool_call_id(const inference_request& request, std::size_t choice) {
  random random(mix(request.digest, 1000 + choice));
  return fmt::format("call_{:016x}{:08x}", random.next(), random.next() >> 32U);
}

// ---- usage

/// Appends `"usage":…`, or the vendor's own form of it.
void append_chat_usage(std::string& out, const token_usage& usage, usage_dialect dialect) {
  auto prompt = usage.prompt;
  auto completion = usage.completion;
  if (dialect == usage_dialect::xai) completion -= usage.reasoning;
  if (dialect == usage_dialect::claude && usage.cached > prompt - usage.cached)
    prompt -= usage.cached;
  append(out, dialect == usage_dialect::groq ? R"("x_groq":{"id":"req_1","usage":)" : R"("usage":)",
         R"({"prompt_tokens":)", prompt, R"(,"completion_tokens":)", completion,
         R"(,"total_tokens":)", usage.total());
  if (dialect == usage_dialect::moonshot)
    append(out, R"(,"cached_tokens":)", usage.cached);
  else
    append(out, R"(,"prompt_tokens_details":{"cached_tokens":)", usage.cached, "}");
  append(out, R"(,"completion_tokens_details":{"reasoning_tokens":)", usage.reasoning, "}}");
  if (dialect == usage_dialect::groq) out += '}';
}

void append_responses_usage(std::string& out, const token_usage& usage) {
  append(out, R"({"input_tokens":)", usage.prompt, R"(,"input_tokens_details":{"cached_tokens":)",
         usage.cached, R"(},"output_tokens":)", usage.completion,
         R"(,"output_tokens_details":{"reasoning_tokens":)", usage.reasoning,
         R"(},"total_tokens":)", usage.total(), "}");
}

// ---- chat and completions

/// A token as OpenAI prints it. A token that is only a part of a character is printed as its bytes.
std::string shown_token(std::string_view token) {
  if (simdjson::validate_utf8(token.data(), token.size())) return std::string(token);
  std::string text = "bytes:";
  for (const char each : token) {
    const auto byte = static_cast<unsigned char>(each);
    if (byte >= 0x20 && byte < 0x7f)
      text += each;
    else
      fmt::format_to(std::back_inserter(text), "\\x{:02x}", byte);
  }
  return text;
}

/// An alternative token for a rank after the first. Each rank has a different one.
std::string_view alternative(std::string_view token, std::size_t place, std::uint32_t start) {
  const auto others = noun_tokens();
  const auto other = others[(start + place) % others.size()];
  return other == token ? others[start % others.size()] : other;
}

/// Appends an entry of chat's logprobs. Its number depends only on the token's position, so that a
/// stream has the same numbers as a whole body.
void append_logprob(std::string& out, const inference_request& request, std::size_t choice,
                    const utterance& content, std::size_t index) {
  random random(mix(request.digest, (choice << 32U) + index));
  const auto entry = [&](std::string_view token, std::uint32_t thousandths) {
    append(out, R"({"token":)", quoted{shown_token(token)}, R"(,"logprob":)",
           fmt::format("-{}.{:03}", thousandths / 1000, thousandths % 1000), R"(,"bytes":[)");
    for (std::size_t at = 0; at < token.size(); ++at)
      append(out, at == 0 ? "" : ",", static_cast<int>(static_cast<unsigned char>(token[at])));
    out += ']';
  };
  const auto token = content.token(index);
  auto thousandths = random.below(400) + 1;
  entry(token, thousandths);
  out += R"(,"top_logprobs":[)";
  const auto start = random.below(static_cast<std::uint32_t>(noun_tokens().size()));
  for (std::size_t rank = 0; rank < request.top_logprobs; ++rank) {
    if (rank > 0) out += ',';
    entry(rank == 0 ? token : alternative(token, rank, start), thousandths);
    out += '}';
    thousandths += 500 + random.below(1000);
  }
  out += "]}";
}

void append_logprobs(std::string& out, const inference_request& request, std::size_t choice,
                     const utterance& content, std::size_t first, std::size_t last) {
  if (!request.logprobs || !request.tool.empty()) {
    out += "null";
    return;
  }
  out += R"({"content":[)";
  for (auto index = first; index < last; ++index) {
    if (index > first) out += ',';
    append_logprob(out, request, choice, content, index);
  }
  out += R"(],"refusal":null})";
}

/// `"id":…,"object":…,"created":…,"model":…`: the first members, repeated in each chunk of a
/// stream.
std::string heading(const inference_request& request, const envelope& envelope) {
  const bool chat = request.to == endpoint::chat;
  std::string out;
  append(out, R"("id":")", chat ? "chatcmpl-" : "cmpl-", envelope.id, R"(","object":")",
         !chat            ? "text_completion"
         : request.stream ? "chat.completion.chunk"
                          : "chat.completion",
         R"(","created":)", envelope.created, R"(,"model":)", quoted{request.model},
         R"(,"system_fingerprint":"fp_)",
         fmt::format("{:010x}", mix(request.model.size(), 7) & 0xffffffffffU), "\"");
  return out;
}

void append_whole_choice(std::string& out, const inference_request& request,
                         const spoken_choice& choice, std::size_t index) {
  append(out, R"({"index":)", index);
  if (request.to == endpoint::completions) {
    append(out, R"(,"text":)", quoted{choice.content.text()},
           R"(,"logprobs":null,"finish_reason":")", chat_finish(request, choice), R"("})");
    return;
  }
  out += R"(,"message":{"role":"assistant","content":)";
  if (request.tool.empty())
    append(out, quoted{choice.content.text()}, R"(,"refusal":null)");
  else
    append(out, R"(null,"refusal":null,"tool_calls":[{"id":")", tool_call_id(request, index),
           R"(","type":"function","function":{"name":)", quoted{request.tool}, R"(,"arguments":)",
           quoted{choice.content.text()}, "}}]");
  if (choice.reasoning.tokens() > 0)
    append(out, R"(,"reasoning_content":)", quoted{choice.reasoning.text()});
  out += R"(},"logprobs":)";
  append_logprobs(out, request, index, choice.content, 0, choice.content.tokens());
  append(out, R"(,"finish_reason":")", chat_finish(request, choice), R"("})");
}

std::string chat_body(const inference_request& request, const answer& answer,
                      const envelope& envelope) {
  std::string out;
  out.reserve(512 + answer.usage.completion * 8);
  append(out, "{", heading(request, envelope), R"(,"choices":[)");
  for (std::size_t index = 0; index < answer.choices.size(); ++index) {
    if (index > 0) out += ',';
    append_whole_choice(out, request, answer.choices[index], index);
  }
  out += ']';
  if (envelope.with_usage) {
    out += ',';
    append_chat_usage(out, answer.usage, envelope.dialect);
  }
  out += '}';
  return out;
}

/// Writes the chunks of a chat or completions stream.
class chunk_writer {
 public:
  chunk_writer(const inference_request& request, const answer& answer, const envelope& envelope)
      : request_(request),
        answer_(answer),
        with_usage_(envelope.with_usage),
        dialect_(envelope.dialect) {
    append(opening_, "data: {", heading(request, envelope), R"(,"choices":[)");
    closing_ = request.include_usage ? R"(],"usage":null})" : "]}";
    closing_ += "\n\n";
  }

  event_stream write() {
    stream_.text.reserve((answer_.usage.completion + 4) * (opening_.size() + 128));
    if (request_.to == endpoint::chat) roles();
    std::size_t longest = 0;
    for (const auto& choice : answer_.choices)
      longest = std::max(longest, choice.reasoning.tokens() + choice.content.tokens());
    for (std::size_t step = 0; step < longest; ++step) {
      for (std::size_t index = 0; index < answer_.choices.size(); ++index) token(index, step);
      stream_.steps.push_back(stream_.text.size());
    }
    finish();
    if (stream_.steps.empty()) stream_.steps.push_back(0);
    stream_.steps.back() = stream_.text.size();
    return std::move(stream_);
  }

 private:
  template <class... Parts>
  void chunk(std::size_t index, const Parts&... parts) {
    append(stream_.text, opening_, R"({"index":)", index, ",", parts..., closing_);
  }

  void roles() {
    for (std::size_t index = 0; index < answer_.choices.size(); ++index) {
      chunk(index, R"("delta":{"role":"assistant","content":)",
            request_.tool.empty() ? R"("")" : "null", R"(},"logprobs":null,"finish_reason":null})");
      if (!request_.tool.empty())
        chunk(index, R"("delta":{"tool_calls":[{"index":0,"id":")", tool_call_id(request_, index),
              R"(","type":"function","function":{"name":)", quoted{request_.tool},
              R"(,"arguments":""}}]},"logprobs":null,"finish_reason":null})");
    }
  }

  void token(std::size_t index, std::size_t step) {
    const auto& choice = answer_.choices[index];
    if (step < choice.reasoning.tokens()) {
      chunk(index, R"("delta":{"reasoning_content":)", quoted{choice.reasoning.piece(step)},
            R"(},"logprobs":null,"finish_reason":null})");
      return;
    }
    const auto at = step - choice.reasoning.tokens();
    if (at >= choice.content.tokens()) return;
    const quoted piece{choice.content.piece(at)};
    if (piece.text.empty()) return;
    if (request_.to == endpoint::completions) {
      chunk(index, R"("text":)", piece, R"(,"logprobs":null,"finish_reason":null})");
    } else if (!request_.tool.empty()) {
      chunk(index, R"("delta":{"tool_calls":[{"index":0,"function":{"arguments":)", piece,
            R"(}}]},"logprobs":null,"finish_reason":null})");
    } else {
      std::string logprobs;
      append_logprobs(logprobs, request_, index, choice.content, choice.content.piece_start(at),
                      at + 1);
      chunk(index, R"("delta":{"content":)", piece, R"(},"logprobs":)", logprobs,
            R"(,"finish_reason":null})");
    }
  }

  void finish() {
    for (std::size_t index = 0; index < answer_.choices.size(); ++index)
      chunk(index, request_.to == endpoint::chat ? R"("delta":{})" : R"("text":"")",
            R"(,"logprobs":null,"finish_reason":")", chat_finish(request_, answer_.choices[index]),
            R"("})");
    if (request_.include_usage && with_usage_) {
      append(stream_.text, opening_, "],");
      append_chat_usage(stream_.text, answer_.usage, dialect_);
      stream_.text += "}\n\n";
    }
    stream_.text += end_of_stream;
  }

  const inference_request& request_;
  const answer& answer_;
  bool with_usage_;
  usage_dialect dialect_;
  std::string opening_;
  std::string closing_;
  event_stream stream_;
};

// ---- responses

/// Writes a response object, whole or as events.
class response_writer {
 public:
  response_writer(const inference_request& request, const answer& answer, const envelope& envelope)
      : request_(request),
        answer_(answer),
        choice_(answer.choices.front()),
        envelope_(envelope),
        item_id_((request.tool.empty() ? "msg_" : "fc_") + envelope.id) {}

  std::string body() const { return response(final_status()); }

  event_stream events() {
    event("response.created", R"("response":)", response("in_progress"));
    event("response.in_progress", R"("response":)", response("in_progress"));
    std::size_t output = 0;
    if (answer_.usage.reasoning > 0) {
      for (const auto* type : {"response.output_item.added", "response.output_item.done"})
        event(type, R"("output_index":0,"item":)", reasoning_item());
      ++output;
    }
    const std::string place = fmt::format(R"("item_id":"{}","output_index":{})", item_id_, output) +
                              (request_.tool.empty() ? R"(,"content_index":0)" : "");
    const std::string kind =
        request_.tool.empty() ? "response.output_text" : "response.function_call_arguments";
    event("response.output_item.added", R"("output_index":)", output, R"(,"item":)",
          item("in_progress", ""));
    if (request_.tool.empty())
      event("response.content_part.added", place, R"(,"part":)", text_part(""));
    for (std::size_t index = 0; index < choice_.content.tokens(); ++index) {
      const quoted piece{choice_.content.piece(index)};
      if (!piece.text.empty()) event(kind + ".delta", place, R"(,"delta":)", piece);
      stream_.steps.push_back(stream_.text.size());
    }
    const auto& text = choice_.content.text();
    event(kind + ".done", place, request_.tool.empty() ? R"(,"text":)" : R"(,"arguments":)",
          quoted{text});
    if (request_.tool.empty())
      event("response.content_part.done", place, R"(,"part":)", text_part(text));
    event("response.output_item.done", R"("output_index":)", output, R"(,"item":)",
          item(final_status(), text));
    event(std::string("response.") + final_status(), R"("response":)", response(final_status()));
    if (stream_.steps.empty()) stream_.steps.push_back(0);
    stream_.steps.back() = stream_.text.size();
    return std::move(stream_);
  }

 private:
  const char* final_status() const { return choice_.cut_short ? "incomplete" : "completed"; }

  std::string text_part(std::string_view text) const {
    std::string out;
    append(out, R"({"type":"output_text","text":)", quoted{text},
           R"(,"annotations":[],"logprobs":[]})");
    return out;
  }

  std::string reasoning_item() const {
    return R"({"type":"reasoning","id":"rs_)" + envelope_.id + R"(","summary":[]})";
  }

  std::string item(std::string_view status, std::string_view text) const {
    std::string out;
    if (request_.tool.empty()) {
      append(out, R"({"type":"message","id":")", item_id_, R"(","status":")", status,
             R"(","role":"assistant","content":[)", status == "in_progress" ? "" : text_part(text),
             "]}");
    } else {
      append(out, R"({"type":"function_call","id":")", item_id_, R"(","call_id":")",
             tool_call_id(request_, 0), R"(","name":)", quoted{request_.tool}, R"(,"arguments":)",
             quoted{text}, R"(,"status":")", status, R"("})");
    }
    return out;
  }

  std::string response(std::string_view status) const {
    const bool over = status != "in_progress";
    std::string out;
    append(out, R"({"id":"resp_)", envelope_.id, R"(","object":"response","created_at":)",
           envelope_.created, R"(,"status":")", status, R"(","error":null,"incomplete_details":)",
           over && choice_.cut_short ? R"({"reason":"max_output_tokens"})" : "null", R"(,"model":)",
           quoted{request_.model}, R"(,"output":[)");
    if (over) {
      if (answer_.usage.reasoning > 0) append(out, reasoning_item(), ",");
      out += item(status, choice_.content.text());
    }
    out += R"(],"usage":)";
    if (over && envelope_.with_usage)
      append_responses_usage(out, answer_.usage);
    else
      out += "null";
    out += '}';
    return out;
  }

  template <class... Parts>
  void event(std::string_view type, const Parts&... parts) {
    append(stream_.text, "event: ", type, "\ndata: {\"type\":\"", type, R"(","sequence_number":)",
           sequence_++, ",", parts..., "}\n\n");
  }

  const inference_request& request_;
  const answer& answer_;
  const spoken_choice& choice_;
  const envelope& envelope_;
  std::string item_id_;
  std::uint64_t sequence_ = 0;
  event_stream stream_;
};

// ---- embeddings

/// A vector of length 1 that depends only on the input's digest.
std::vector<float> embed(std::uint64_t input, std::size_t dimensions) {
  random random(input);
  std::vector<float> vector(dimensions);
  float squares = 0;
  for (auto& value : vector) {
    value = static_cast<float>(random.unit() * 2 - 1);
    squares += value * value;
  }
  for (auto& value : vector) value /= std::sqrt(squares);
  return vector;
}

/// The vector's bytes, little-endian floats, in base64.
std::string base64_of(const std::vector<float>& vector) {
  static constexpr std::string_view alphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  for (const float value : vector) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    for (unsigned shift = 0; shift < 32; shift += 8)
      bytes.push_back(static_cast<char>((bits >> shift) & 0xffU));
  }
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    std::uint32_t group = 0;
    for (std::size_t index = at; index < at + 3; ++index)
      group = group << 8U | (index < bytes.size() ? static_cast<unsigned char>(bytes[index]) : 0U);
    for (unsigned digit = 0; digit < 4; ++digit)
      out.push_back(at + digit <= bytes.size() ? alphabet[(group >> (18 - 6 * digit)) & 63U] : '=');
  }
  return out;
}

std::string embeddings_body(const inference_request& request, const answer& answer,
                            const envelope& envelope) {
  std::string out = R"({"object":"list","data":[)";
  for (std::size_t index = 0; index < request.inputs.size(); ++index) {
    append(out, index == 0 ? "" : ",", R"({"object":"embedding","index":)", index,
           R"(,"embedding":)");
    const auto vector = embed(request.inputs[index], request.dimensions);
    if (request.base64)
      append(out, quoted{base64_of(vector)});
    else
      fmt::format_to(std::back_inserter(out), "[{}]", fmt::join(vector, ","));
    out += '}';
  }
  append(out, R"(],"model":)", quoted{request.model});
  if (envelope.with_usage)
    append(out, R"(,"usage":{"prompt_tokens":)", answer.usage.prompt, R"(,"total_tokens":)",
           answer.usage.prompt, "}");
  out += '}';
  return out;
}

}  // namespace

namespace {

/// The request's document, cut to `room` tokens. English prose instead if that would split a
/// character.
utterance document_of(const inference_request& request, std::size_t room, random& random) {
  auto speech = spelled(request.document, request.vocabulary);
  speech.cut_to(room);
  return speech.whole() ? speech : prose(random, room, language::english, request.vocabulary);
}

/// Cuts the content before the first stop sequence. Returns whether there was one.
bool stop(const inference_request& request, utterance& content) {
  auto end = std::string::npos;
  for (const auto& sequence : request.stop) end = std::min(end, content.text().find(sequence));
  if (end == std::string::npos) return false;
  // Encoding the shorter text may give other tokens at its end. Keep at most the old number of
  // tokens, and no half character.
  const auto most = content.tokens();
  content = spelled(content.text().substr(0, end), request.vocabulary);
  content.cut_to(most);
  while (!content.whole()) content.cut_to(content.tokens() - 1);
  return true;
}

}  // namespace

answer compose(const inference_request& request, int mean_tokens) {
  answer whole;
  whole.usage.prompt = request.prompt_tokens;
  whole.usage.cached = request.cached_tokens;
  if (request.to == endpoint::embeddings) return whole;

  const auto mean = static_cast<std::uint64_t>(std::max(mean_tokens, 1));
  const auto entries = request.choices * (request.logprobs ? 2 + request.top_logprobs : 1);
  const auto most = std::max(largest_reply, 2 * mean) / entries;
  const auto thoughts = thinking_of(request.serving_model);
  const auto spoken = request.in_chinese ? language::chinese : language::mixed;
  for (std::size_t index = 0; index < request.choices; ++index) {
    random random(mix(request.digest, index));
    spoken_choice choice;
    std::uint64_t room = request.endless ? most : std::min(request.max_tokens.value_or(most), most);

    std::uint64_t thought = thoughts == thinking::none ? 0 : around(random, 64);
    if (thought > room) choice.cut_short = true;
    thought = std::min(thought, room);
    room -= thought;
    if (thoughts == thinking::shown)
      choice.reasoning = prose(random, thought, spoken, request.vocabulary);

    const auto length = std::max<std::uint64_t>(around(random, mean), 1);
    if (request.document.empty()) {
      choice.cut_short = choice.cut_short || length > room;
      choice.content = prose(random, std::min(length, room), spoken, request.vocabulary);
    } else {
      choice.content = document_of(request, room, random);
      choice.cut_short = choice.cut_short || choice.content.text().size() < request.document.size();
    }
    if (request.tool.empty() && stop(request, choice.content)) choice.cut_short = false;
    whole.usage.reasoning += thought;
    whole.usage.completion += thought + choice.content.tokens();
    whole.choices.push_back(std::move(choice));
  }
  whole.generated = whole.usage.completion;
  return whole;
}

inference_request misunderstood(const inference_request& request) {
  inference_request wrong = request;
  if (!request.asks_for_json) return wrong;
  std::string& document = wrong.document;
  random random(mix(request.digest, request.number));
  switch (random.below(4)) {
    case 0:
      document = "```json\n" + document + "\n```";
      break;
    case 1:
      document = "Here is the JSON: " + document;
      break;
    case 2:
      document.pop_back();
      break;
    default:
      document = "[[" + document + "]]";
  }
  return wrong;
}

std::string body_of(const inference_request& request, const answer& answer,
                    const envelope& envelope) {
  switch (request.to) {
    case endpoint::embeddings:
      return embeddings_body(request, answer, envelope);
    case endpoint::responses:
      return response_writer(request, answer, envelope).body();
    default:
      return chat_body(request, answer, envelope);
  }
}

event_stream events_of(const inference_request& request, const answer& answer,
                       const envelope& envelope) {
  if (request.to == endpoint::responses) return response_writer(request, answer, envelope).events();
  return chunk_writer(request, answer, envelope).write();
}

}  // namespace sluice::simulator
