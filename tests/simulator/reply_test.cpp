#include "simulator/reply.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>

#include "simulator/script.hpp"

namespace sluice::simulator {
namespace {

using nlohmann::json;

constexpr int mean_tokens = 60;

inference_request read(endpoint to, const json& body, std::uint64_t seed = 1) {
  auto understood = request_reader(seed).read(to, body.dump());
  if (const auto* error = std::get_if<api_error>(&understood))
    throw std::runtime_error("not understood: " + error->message);
  return std::get<inference_request>(std::move(understood));
}

json chat(const std::string& text) {
  return {{"model", "gpt-4o"}, {"messages", {{{"role", "user"}, {"content", text}}}}};
}

json whole(endpoint to, const json& body) {
  const auto request = read(to, body);
  return json::parse(body_of(request, compose(request, mean_tokens), {"id", 1700000000, true}));
}

/// The data of every event except [DONE].
std::vector<json> events(endpoint to, json body) {
  body["stream"] = true;
  const auto request = read(to, body);
  const auto stream = events_of(request, compose(request, mean_tokens), {"id", 1700000000, true});
  EXPECT_EQ(stream.steps.back(), stream.text.size());
  std::vector<json> data;
  for (std::size_t at = 0; (at = stream.text.find("data: ", at)) != std::string::npos;) {
    at += 6;
    const auto line = stream.text.substr(at, stream.text.find('\n', at) - at);
    if (line != "[DONE]") data.push_back(json::parse(line));
  }
  return data;
}

TEST(Reply, AStreamHasTheSameContentAsTheWholeReply) {
  for (int number = 0; number < 50; ++number) {
    json body = chat("question " + std::to_string(number));
    body["n"] = 1 + number % 3;
    body["model"] = number % 2 == 0 ? "gpt-4o" : "deepseek-reasoner";
    body["stream_options"] = {{"include_usage", true}};
    const auto expected = whole(endpoint::chat, body);
    std::vector<std::string> content(expected["choices"].size());
    std::vector<std::string> reasoning(content.size());
    std::vector<std::string> finish(content.size());
    json usage;
    for (const auto& chunk : events(endpoint::chat, body)) {
      EXPECT_EQ(chunk["object"], "chat.completion.chunk");
      if (!chunk["usage"].is_null()) usage = chunk["usage"];
      for (const auto& choice : chunk["choices"]) {
        const auto index = choice["index"].get<std::size_t>();
        content[index] += choice["delta"].value("content", "");
        reasoning[index] += choice["delta"].value("reasoning_content", "");
        if (!choice["finish_reason"].is_null()) finish[index] = choice["finish_reason"];
      }
    }
    EXPECT_EQ(usage, expected["usage"]);
    for (std::size_t index = 0; index < content.size(); ++index) {
      const auto& message = expected["choices"][index]["message"];
      EXPECT_EQ(content[index], message["content"]);
      EXPECT_EQ(reasoning[index], message.value("reasoning_content", ""));
      EXPECT_EQ(finish[index], expected["choices"][index]["finish_reason"]);
    }
  }
}

TEST(Reply, ContentDependsOnSeedAndBodyButNotOnStreamFields) {
  json streamed = chat("hi");
  streamed["stream"] = true;
  streamed["stream_options"] = {{"include_usage", true}};
  EXPECT_EQ(read(endpoint::chat, chat("hi")).digest, read(endpoint::chat, streamed).digest);
  EXPECT_NE(read(endpoint::chat, chat("hi")).digest, read(endpoint::chat, chat("ho")).digest);
  EXPECT_NE(read(endpoint::chat, chat("hi")).digest, read(endpoint::chat, chat("hi"), 2).digest);
}

TEST(Reply, UsageCountsTheContent) {
  const auto request = read(endpoint::chat, chat("hi"));
  EXPECT_EQ(request.prompt_tokens, 1U + 4U + 3U);
  const auto said = compose(request, mean_tokens);
  EXPECT_EQ(said.usage.completion, said.choices[0].content.tokens());
}

TEST(Reply, MaxTokensLimitsTheReply) {
  json body = chat("hi");
  for (const auto* name : {"max_tokens", "max_completion_tokens"}) {
    auto limited = body;
    limited[name] = 5;
    const auto reply = whole(endpoint::chat, limited);
    EXPECT_EQ(reply["choices"][0]["finish_reason"], "length");
    EXPECT_EQ(reply["usage"]["completion_tokens"], 5);
  }
  body["max_tokens"] = 10'000;
  EXPECT_EQ(whole(endpoint::chat, body)["choices"][0]["finish_reason"], "stop");
}

TEST(Reply, AReplyHasAMaximumSize) {
  const auto length = [](endpoint to, json body, int mean) {
    const auto request = read(to, body);
    const auto said = compose(request, mean);
    for (const auto& choice : said.choices) EXPECT_GT(choice.content.tokens(), 0U);
    return said.usage.completion;
  };
  json many{{"model", "gpt-4o"}, {"max_tokens", 1000}};
  many["prompt"] = std::vector<std::string>(2000, "one");
  EXPECT_LE(length(endpoint::completions, many, 200), largest_reply);
  EXPECT_GT(length(endpoint::completions, many, 200), largest_reply / 2);

  json spoken = chat("hi");
  spoken["n"] = 128;
  EXPECT_GT(length(endpoint::chat, spoken, 200), 128U * 150) << "a usual length is not cut";
  EXPECT_LE(length(endpoint::chat, spoken, 20'000), largest_reply);
  spoken["logprobs"] = true;
  spoken["top_logprobs"] = 20;
  EXPECT_LE(length(endpoint::chat, spoken, 20'000), largest_reply / 20)
      << "each token has many logprobs";
  EXPECT_GT(length(endpoint::chat, chat("hi"), 1'000'000), 400'000U)
      << "the options set a larger mean";
}

TEST(Reply, AReasoningModelCanUseAllItsTokensForThoughts) {
  json body = chat("hi");
  body["model"] = "o3";
  body["max_completion_tokens"] = 10;
  const auto reply = whole(endpoint::chat, body);
  EXPECT_EQ(reply["usage"]["completion_tokens_details"]["reasoning_tokens"], 10);
  EXPECT_EQ(reply["choices"][0]["message"]["content"], "");
  EXPECT_EQ(reply["choices"][0]["finish_reason"], "length");
}

TEST(Reply, AForcedToolIsCalledWithArgumentsOfItsSchema) {
  json body = chat("weather?");
  body["tools"] = json::parse(R"([{"type":"function","function":{"name":"weather","parameters":
    {"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"},
     "unit":{"enum":["C","F"]}}}}}])");
  body["tool_choice"] = "required";
  const auto reply = whole(endpoint::chat, body)["choices"][0];
  EXPECT_EQ(reply["finish_reason"], "tool_calls");
  const auto call = reply["message"]["tool_calls"][0]["function"];
  EXPECT_EQ(call["name"], "weather");
  const auto arguments = json::parse(call["arguments"].get<std::string>());
  EXPECT_TRUE(arguments["city"].is_string());
  EXPECT_TRUE(arguments["days"].is_number_integer());
  EXPECT_EQ(arguments["unit"], "C");

  std::string pieces;
  for (const auto& chunk : events(endpoint::chat, body))
    for (const auto& choice : chunk["choices"])
      if (choice["delta"].contains("tool_calls"))
        pieces += choice["delta"]["tool_calls"][0]["function"]["arguments"];
  EXPECT_EQ(json::parse(pieces), arguments);
}

TEST(Reply, TokensOfLogprobsJoinToTheContent) {
  json body = chat("hi");
  body["logprobs"] = true;
  body["top_logprobs"] = 2;
  const auto choice = whole(endpoint::chat, body)["choices"][0];
  std::string bytes;
  for (const auto& entry : choice["logprobs"]["content"]) {
    EXPECT_EQ(entry["top_logprobs"].size(), 2U);
    for (const auto& byte : entry["bytes"]) bytes += static_cast<char>(byte.get<int>());
  }
  EXPECT_EQ(bytes, choice["message"]["content"]);
}

TEST(Reply, TheLastResponsesEventHasTheWholeResponse) {
  const json body{{"model", "gpt-5"}, {"input", "hi"}, {"max_output_tokens", 90}};
  auto expected = whole(endpoint::responses, body);
  const auto all = events(endpoint::responses, body);
  std::string text;
  for (std::size_t index = 0; index < all.size(); ++index) {
    EXPECT_EQ(all[index]["sequence_number"], index);
    if (all[index]["type"] == "response.output_text.delta") text += all[index]["delta"];
  }
  EXPECT_EQ(all.back()["response"], expected);
  EXPECT_EQ(text, expected["output"][1]["content"][0]["text"]);
  EXPECT_EQ(expected["usage"]["output_tokens"], 90);
  EXPECT_EQ(expected["status"], "incomplete");
}

TEST(Reply, EmbeddingsGiveTheSameVectorInBothForms) {
  json body{{"model", "text-embedding-3-small"}, {"input", {"a", "b"}}, {"dimensions", 4}};
  const auto floats = whole(endpoint::embeddings, body);
  ASSERT_EQ(floats["data"].size(), 2U);
  EXPECT_EQ(floats["data"][1]["embedding"].size(), 4U);
  EXPECT_NE(floats["data"][0]["embedding"], floats["data"][1]["embedding"]);
  body["encoding_format"] = "base64";
  const std::string text = whole(endpoint::embeddings, body)["data"][0]["embedding"];
  EXPECT_EQ(text.size(), 24U) << "16 bytes";
  EXPECT_EQ(text.substr(22), "==");
}

TEST(Reply, LongPrefixesAreSometimesCached) {
  std::string words;
  for (int count = 0; count < 2000; ++count) words += " word";
  int cached = 0;
  for (int number = 0; number < 40; ++number) {
    const auto request = read(endpoint::chat, chat(std::to_string(number) + words));
    EXPECT_LE(request.cached_tokens, request.prompt_tokens);
    cached += request.cached_tokens > 0 ? 1 : 0;
  }
  EXPECT_GT(cached, 5);
  EXPECT_LT(cached, 35);
  EXPECT_EQ(read(endpoint::chat, chat("short")).cached_tokens, 0U);
}

TEST(Reply, ACacheWithAMemoryHasTheOpeningsOfEarlierPrompts) {
  std::string words;
  for (int count = 0; count < 1500; ++count) words += " word";
  const auto cached = [&](request_reader& reader, const std::string& text,
                          const char* model = "gpt-4o") {
    const json body{{"model", model}, {"messages", {{{"role", "user"}, {"content", text}}}}};
    return std::get<inference_request>(reader.read(endpoint::chat, body.dump())).cached_tokens;
  };
  options settings;
  settings.cache = prompt_cache::memory;
  request_reader memory(settings);
  EXPECT_EQ(cached(memory, words + " one"), 0U) << "the first of its kind";
  EXPECT_GE(cached(memory, words + " two"), 1024U);
  EXPECT_EQ(cached(memory, "other" + words), 0U);
  EXPECT_EQ(cached(memory, words + " one", "gpt-4o-mini"), 0U) << "each model has its own";
  EXPECT_EQ(cached(memory, "short"), 0U);
  EXPECT_EQ(cached(memory, "short"), 0U);
  settings.cache = prompt_cache::none;
  request_reader none(settings);
  for (int count = 0; count < 20; ++count)
    EXPECT_EQ(cached(none, std::to_string(count) + words), 0U);
}

TEST(RequestReader, RefusesMalformedCalls) {
  request_reader reader(1);
  const auto error = [&](endpoint to, const char* body) {
    auto understood = reader.read(to, body);
    const auto* refused = std::get_if<api_error>(&understood);
    return refused == nullptr ? std::string("understood") : refused->message;
  };
  EXPECT_EQ(error(endpoint::chat, "{"), "the body is not a JSON object");
  EXPECT_EQ(error(endpoint::chat, "[]"), "the body is not a JSON object");
  EXPECT_EQ(error(endpoint::chat, R"({"messages":[{}]})"), "model is required");
  EXPECT_EQ(error(endpoint::chat, R"({"model":"m"})"), "field messages is required");
  EXPECT_EQ(error(endpoint::chat, R"({"model":"m","messages":[{}],"max_tokens":0})"),
            "max_tokens is invalid");
  EXPECT_EQ(error(endpoint::responses, R"({"model":"m"})"), "field input is required");
  EXPECT_EQ(error(endpoint::completions, R"({"model":"m"})"), "field prompt is required");
  EXPECT_EQ(error(endpoint::embeddings, R"({"model":"m","input":1})"), "field input is required");

  const auto list = [](const std::string& name, std::size_t count, const std::string& more) {
    json body{{"model", "m"}};
    body[name] = std::vector<std::string>(count, "x");
    auto text = body.dump();
    text.insert(text.size() - 1, more);
    return text;
  };
  EXPECT_EQ(error(endpoint::completions, list("prompt", 2048, "").c_str()), "understood");
  EXPECT_EQ(error(endpoint::completions, list("prompt", 2049, "").c_str()), "prompt is too long");
  EXPECT_EQ(error(endpoint::completions, list("prompt", 1025, R"(,"n":2)").c_str()),
            "prompt is too long");
  EXPECT_EQ(error(endpoint::embeddings, list("input", 2048, R"(,"dimensions":1536)").c_str()),
            "understood");
  EXPECT_EQ(error(endpoint::embeddings, list("input", 2049, "").c_str()), "input is too long");
}

/// A stream with the fault.
script script_with(fault_kind fault, const std::string& text) {
  json body = chat(text);
  body["stream"] = true;
  const auto request = read(endpoint::chat, body);
  return reply_script(request, compose(request, mean_tokens), {"id", 1, true}, fault, "rid");
}

TEST(Script, OnlyAGoodReplyIsDelivered) {
  const std::set<std::string_view> good{"none",
                                        "no-usage",
                                        "ragged",
                                        "filtered",
                                        "json-for-stream",
                                        "stream-for-json",
                                        "crlf",
                                        "cr",
                                        "keep-alives",
                                        "no-done",
                                        "held-open",
                                        "early-head",
                                        "usage-on-last",
                                        "usage-on-every",
                                        "usage-dialect",
                                        "content-parts",
                                        "null-finish",
                                        "malformed"};
  for (std::size_t kind = 0; kind < fault_kinds; ++kind) {
    const auto fault = static_cast<fault_kind>(kind);
    for (int number = 0; number < 20; ++number) {
      const auto reply = script_with(fault, std::to_string(number));
      EXPECT_EQ(reply.delivered, good.contains(name_of(fault))) << name_of(fault);
      EXPECT_TRUE(reply.billed || !reply.delivered) << name_of(fault);
      const bool finished = reply.body.find(R"("finish_reason":"stop")") != std::string::npos ||
                            reply.body.find(R"("content_filter")") != std::string::npos;
      EXPECT_EQ(finished && !reply.sends_nothing, reply.delivered) << name_of(fault);
    }
  }
}

TEST(Script, RefusalsLookLikeThoseOfRealRelays) {
  struct refusal {
    fault_kind kind;
    std::set<int> statuses;
    std::set<std::string> codes;
  };
  for (const auto& [kind, statuses, codes] :
       {refusal{fault_kind::no_channel, {503}, {"", "model_not_found"}},
        refusal{fault_kind::no_price, {500}, {"model_price_error"}},
        refusal{fault_kind::model_denied, {403}, {"", "access_denied"}},
        refusal{fault_kind::key_spent, {401}, {""}},
        refusal{
            fault_kind::quota,
            {403, 429},
            {"insufficient_user_quota", "pre_consume_token_quota_failed", "insufficient_quota"}},
        refusal{fault_kind::quota_in_words,
                {400, 403, 429, 500},
                {"403", "INSUFFICIENT_BALANCE", "Arrearage", "", "1113"}},
        refusal{fault_kind::no_model, {404}, {"404", "DeploymentNotFound", ""}},
        refusal{fault_kind::too_large, {429}, {"rate_limit_exceeded"}},
        refusal{fault_kind::tier_full, {498, 429}, {"capacity_exceeded", "resource_unavailable"}},
        refusal{fault_kind::refused_429_reset, {429}, {"rate_limit_exceeded"}}}) {
    std::set<int> met_statuses;
    std::set<std::string> met_codes;
    for (int number = 0; number < 60; ++number) {
      const auto reply = script_with(kind, std::to_string(number));
      met_statuses.insert(reply.status);
      const auto body = json::parse(reply.body);
      const auto& error = body.contains("error") ? body["error"] : body;
      met_codes.insert(error["code"]);
      EXPECT_EQ(error["message"].get<std::string>().find("{}"), std::string::npos);
      EXPECT_EQ(reply.extra_headers.find("x-ratelimit-reset-requests: ") == 0 ||
                    reply.extra_headers.find("x-ratelimit-remaining-requests: 0") == 0,
                kind == fault_kind::refused_429_reset);
      EXPECT_FALSE(reply.billed);
    }
    EXPECT_EQ(met_statuses, statuses) << name_of(kind);
    EXPECT_EQ(met_codes, codes) << name_of(kind);
  }
}

TEST(Script, AFilterEndsTheCompletionsOfA400) {
  const auto reply = script_with(fault_kind::filtered, "x");
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.content_type, "application/json");
  EXPECT_EQ(json::parse(reply.body)["choices"][0]["finish_reason"], "content_filter");
  EXPECT_EQ(reply.announced, reply.body.size());
}

TEST(Script, AReplyMayComeInTheOtherForm) {
  const auto whole = script_with(fault_kind::json_for_stream, "x");
  EXPECT_EQ(whole.content_type, "application/json");
  EXPECT_EQ(json::parse(whole.body)["object"], "chat.completion");

  const auto request = read(endpoint::chat, chat("x"));
  const auto stream = reply_script(request, compose(request, mean_tokens), {"id", 1, true},
                                   fault_kind::stream_for_json, "rid");
  EXPECT_EQ(stream.content_type, "text/event-stream");
  EXPECT_EQ(stream.steps.back(), stream.body.size());
  EXPECT_TRUE(stream.body.ends_with("data: [DONE]\n\n"));
}

TEST(Script, ACutStreamIsBilledAndSometimesEndsWithDone) {
  int done = 0;
  for (int number = 0; number < 60; ++number) {
    const auto reply = script_with(fault_kind::cut, std::to_string(number));
    EXPECT_TRUE(reply.billed);
    EXPECT_NE(reply.body.find(R"("content":")"), std::string::npos);
    if (reply.end == ending::whole) {
      EXPECT_NE(reply.body.find("[DONE]"), std::string::npos);
      ++done;
    }
  }
  EXPECT_GT(done, 5);
  EXPECT_LT(done, 40);
}

}  // namespace
}  // namespace sluice::simulator
