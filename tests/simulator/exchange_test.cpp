#include "simulator/exchange.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "money/price_data.hpp"
#include "pictures.hpp"
#include "simulator/model_facts.hpp"
#include "simulator/random.hpp"

namespace sluice::simulator {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

json chat(const std::string& model, const std::string& text) {
  return {{"model", model}, {"messages", {{{"role", "user"}, {"content", text}}}}};
}

options with_cheat(const char* cheat, std::uint64_t seed = 1) {
  options settings;
  settings.tokens = 60;
  settings.seed = seed;
  settings.cheat = parse_cheat(cheat);
  return settings;
}

exchange ask(const options& settings, const json& body, endpoint to = endpoint::chat,
             std::uint64_t number = 1) {
  inference_service service(settings);
  return exchange_with(service, settings, to, body.dump(), number);
}

json answer_to(const options& settings, const json& body) {
  return json::parse(ask(settings, body).body());
}

std::string content_of(const json& reply) {
  return reply["choices"][0]["message"]["content"];
}

/// A choice as a client reads it, streamed or not.
struct received_choice {
  std::string content;
  std::string finish;
  json logprobs = json::array();
};

/// The choices and the usage of a reply. The chunks of a stream are joined.
struct received_reply {
  std::vector<received_choice> choices;
  json usage;
};

received_reply receive(const exchange& reply, std::size_t choices) {
  received_reply whole;
  whole.choices.resize(choices);
  const auto take = [&whole](const json& chunk, const char* part) {
    if (chunk.contains("usage") && !chunk["usage"].is_null()) whole.usage = chunk["usage"];
    for (const auto& choice : chunk["choices"]) {
      auto& into = whole.choices.at(choice["index"].get<std::size_t>());
      into.content += choice[part].value("content", "");
      if (!choice["finish_reason"].is_null()) into.finish = choice["finish_reason"];
      if (!choice["logprobs"].is_null())
        for (const auto& entry : choice["logprobs"]["content"]) into.logprobs.push_back(entry);
    }
  };
  const auto body = reply.body();
  if (reply.content_type == "application/json") {
    take(json::parse(body), "message");
    return whole;
  }
  for (std::size_t at = 0; (at = body.find("data: {", at)) != std::string::npos; ++at)
    take(json::parse(body.substr(at + 6, body.find('\n', at) - at - 6)), "delta");
  return whole;
}

std::string bytes_of(const json& entry) {
  std::string bytes;
  for (const auto& byte : entry["bytes"]) bytes += static_cast<char>(byte.get<int>());
  return bytes;
}

/// The printed form of a token must match its bytes.
void expect_printed_form(const json& entry, const tokenizer& vocabulary) {
  const auto bytes = bytes_of(entry);
  EXPECT_TRUE(vocabulary.rank_of(bytes)) << entry;
  const std::string token = entry["token"];
  EXPECT_EQ(token.substr(0, 6) == "bytes:", !vocabulary.count(bytes));
  if (vocabulary.count(bytes)) {
    EXPECT_EQ(token, bytes);
  }
}

class Exchange : public testing::Test {
 protected:
  void SetUp() override {
    if (tokenizer_of("gpt-4") == nullptr) GTEST_SKIP() << "built without the vocabularies";
  }
};

/// A random chat that a probe could send.
json random_chat(random& random) {
  static const std::vector<std::string> models{"gpt-3.5-turbo", "gpt-4",   "gpt-4-turbo", "gpt-4o",
                                               "gpt-4o-mini",   "gpt-4.1", "o3-mini",     "gpt-5"};
  static const std::vector<std::string> texts{"hi",           "人工智能正在改变我们的生活",
                                              "नमस्ते दुनिया",   "Tell me of the sea 🌊, please.",
                                              "1234567890 x", "请用中文写一段话"};
  const auto pick = [&random](const auto& list) {
    return list[random.below(static_cast<std::uint32_t>(list.size()))];
  };
  json body = chat(pick(models), "");
  std::string text;
  for (auto count = random.below(5) + 1; count > 0; --count) text += pick(texts);
  body["messages"][0]["content"] = text;
  if (random.below(3) == 0)
    body["messages"].insert(body["messages"].begin(),
                            json{{"role", "system"}, {"content", pick(texts)}, {"name", "boss"}});
  body["n"] = 1 + random.below(3);
  if (random.below(2) == 0) body["max_tokens"] = 1 + random.below(120);
  if (random.below(3) == 0) {
    body["logprobs"] = true;
    body["top_logprobs"] = random.below(6);
  }
  if (random.below(4) == 0) body["stop"] = {"。", " the"};
  if (random.below(2) == 0) {
    body["stream"] = true;
    body["stream_options"] = {{"include_usage", true}};
  }
  return body;
}

std::uint64_t prompt_by_the_cookbook(const json& body, const tokenizer& vocabulary) {
  std::uint64_t tokens = 3;
  for (const auto& message : body["messages"]) {
    tokens += 3 + *vocabulary.count(message["role"].get<std::string>()) +
              *vocabulary.count(message["content"].get<std::string>());
    if (message.contains("name"))
      tokens += 1 + *vocabulary.count(message["name"].get<std::string>());
  }
  return tokens;
}

TEST_F(Exchange, AnEndlessRelayIgnoresTheLimitOfAnAnswer) {
  auto body = chat("gpt-4o", "Tell me a story.");
  body["max_tokens"] = 1;
  EXPECT_EQ(ask(with_cheat("none"), body).usage.completion, 1U);
  const auto reply = ask(with_cheat("endless"), body);
  EXPECT_GE(reply.usage.completion, 30U) << "the mean is 60";
  EXPECT_EQ(json::parse(reply.body())["choices"][0]["finish_reason"], "stop");
}

TEST_F(Exchange, AnEndlessRelayStillRefusesALimitThatTheModelDoesNotHave) {
  for (const auto* model : {"gpt-4o", "gpt-4"}) {
    auto body = chat(model, "hi");
    body["max_tokens"] = 10'000'000;
    const auto reply = ask(with_cheat("endless"), body);
    EXPECT_EQ(reply.status, 400) << model;
    EXPECT_NE(reply.body().find("10000000"), std::string::npos) << reply.body();
  }
  // The worst cost that the balance must cover is that of the limit in the body.
  const auto settings = with_cheat("endless");
  inference_service service(settings);
  auto body = chat("gpt-4o", "hi");
  body["max_tokens"] = 1000;
  const auto asked =
      std::get<inference_request>(service.understand(endpoint::chat, body.dump(), 1));
  // gpt-4o: 2.50 and 10 USD per million tokens.
  EXPECT_EQ(service.worst_cost(asked, 0), usd{int128{8} * 2'500'000 + int128{1000} * 10'000'000});
}

TEST_F(Exchange, ARelayMayKeepTheDiscountOfItsCache) {
  std::string words;
  for (int count = 0; count < 1500; ++count) words += " word";
  const auto second_of_two = [&](const char* cheat) {
    auto settings = with_cheat(cheat);
    settings.cache = prompt_cache::memory;
    inference_service service(settings);
    const auto body = chat("gpt-4o", words).dump();
    exchange_with(service, settings, endpoint::chat, body, 1);
    return exchange_with(service, settings, endpoint::chat, body, 2);
  };
  const auto honest = second_of_two("none");
  const auto kept = second_of_two("cache-kept");
  EXPECT_GE(honest.usage.cached, 1024U);
  EXPECT_EQ(kept.usage.cached, honest.usage.cached) << "it reports them";
  // gpt-4o: 2.50 and 1.25 USD per million tokens.
  const auto discount = static_cast<int128>(honest.usage.cached) * 1'250'000;
  EXPECT_TRUE(kept.cost.units - honest.cost.units == discount);
}

TEST_F(Exchange, CountsEqualThoseOfTheTokenizer) {
  const auto settings = with_cheat("none");
  inference_service service(settings);
  int cut = 0;
  int stopped = 0;
  int in_parts = 0;
  for (std::uint64_t number = 0; number < 600; ++number) {
    random random(number);
    const auto body = random_chat(random);
    SCOPED_TRACE(body.dump());
    const auto& vocabulary = *tokenizer_of(body["model"].get<std::string>());
    const auto reply = exchange_with(service, settings, endpoint::chat, body.dump(), number);
    ASSERT_EQ(reply.status, 200);
    const auto said = receive(reply, body["n"]);
    const std::uint64_t limit = body.value("max_tokens", 1U << 20U);

    std::uint64_t completion = said.usage["completion_tokens_details"]["reasoning_tokens"];
    const bool thinks = completion > 0;
    for (const auto& choice : said.choices) {
      const auto tokens = vocabulary.count(choice.content);
      ASSERT_TRUE(tokens) << "half a character";
      completion += *tokens;
      if (!thinks) {
        EXPECT_LE(*tokens, limit);
      }
      if (choice.finish == "length") {
        ++cut;
        if (!thinks) {
          EXPECT_EQ(*tokens, limit);
        }
      } else {
        EXPECT_EQ(choice.finish, "stop");
      }
      for (const std::string stop : body.value("stop", json::array()))
        EXPECT_EQ(choice.content.find(stop), std::string::npos);
      if (choice.finish == "stop" && *tokens < limit && body.contains("stop")) ++stopped;

      if (!body.contains("logprobs")) {
        EXPECT_TRUE(choice.logprobs.empty());
        continue;
      }
      std::string joined;
      for (const auto& entry : choice.logprobs) {
        joined += bytes_of(entry);
        expect_printed_form(entry, vocabulary);
        ASSERT_EQ(entry["top_logprobs"].size(), body["top_logprobs"]);
        if (!entry["top_logprobs"].empty()) {
          EXPECT_EQ(entry["top_logprobs"][0]["bytes"], entry["bytes"]);
        }
        for (const auto& other : entry["top_logprobs"]) expect_printed_form(other, vocabulary);
        in_parts += entry["token"].get<std::string>().starts_with("bytes:") ? 1 : 0;
      }
      EXPECT_EQ(joined, choice.content);
      EXPECT_EQ(choice.logprobs.size(), *tokens);
    }
    EXPECT_EQ(said.usage["completion_tokens"], completion);
    EXPECT_EQ(said.usage["prompt_tokens"], prompt_by_the_cookbook(body, vocabulary));
    EXPECT_EQ(reply.usage.completion, completion);
  }
  EXPECT_GT(cut, 100);
  EXPECT_GT(stopped, 20);
  EXPECT_GT(in_parts, 20);
}

TEST_F(Exchange, CountsOfKnownPromptsAreRight) {
  const auto prompt = [](const char* model, const char* text) {
    return ask({}, chat(model, text)).usage.prompt;
  };
  EXPECT_EQ(prompt("gpt-4", "hi"), 8U);
  EXPECT_EQ(prompt("gpt-4", "鲁迅为什么打周树人"), 7U + 14U);
  EXPECT_EQ(prompt("gpt-4o", "鲁迅为什么打周树人"), 7U + 7U);
  EXPECT_EQ(prompt("deepseek-chat", "abcdefgh"), 7U + 2U) << "four bytes per token";
}

TEST_F(Exchange, OtherEndpointsCountTheSame) {
  const auto settings = with_cheat("none");
  const std::string text = "人工智能正在改变我们的生活";
  auto reply = ask(settings, {{"model", "text-embedding-3-small"}, {"input", {text, text}}},
                   endpoint::embeddings);
  EXPECT_EQ(reply.usage.prompt, 24U);
  reply = ask(settings, {{"model", "gpt-3.5-turbo-instruct"}, {"prompt", text}, {"max_tokens", 7}},
              endpoint::completions);
  EXPECT_EQ(reply.usage.prompt, 12U);
  const auto& cl100k = *tokenizer_of("gpt-4");
  EXPECT_EQ(cl100k.count(json::parse(reply.body())["choices"][0]["text"].get<std::string>()), 7U);
  reply = ask(settings, {{"model", "gpt-4o"}, {"input", text}, {"max_output_tokens", 9}},
              endpoint::responses);
  EXPECT_EQ(reply.usage.prompt, 7U + 6U);
  const auto& o200k = *tokenizer_of("gpt-4o");
  const auto output = json::parse(reply.body())["output"][0]["content"][0]["text"];
  EXPECT_EQ(o200k.count(output.get<std::string>()), 9U);
}

TEST_F(Exchange, CountsToolsAndSchemasAsText) {
  const auto& o200k = *tokenizer_of("gpt-4o");
  const auto schema = json::parse(R"({"type":"object","properties":{"city":{"type":"string"}}})");
  const json function{{"name", "weather"}, {"parameters", schema}};
  const auto added = [&](const json& plain, endpoint to, const char* member, const json& value,
                         const options& settings = {}) {
    auto more = plain;
    more[member] = value;
    return ask(settings, more, to).usage.prompt - ask(settings, plain, to).usage.prompt;
  };
  const json tools{{{"type", "function"}, {"function", function}}};
  const json format{{"type", "json_schema"}, {"json_schema", {{"name", "n"}, {"schema", schema}}}};
  const auto plain = chat("gpt-4o", "hi");
  EXPECT_EQ(added(plain, endpoint::chat, "tools", tools), o200k.count(tools.dump()));
  EXPECT_EQ(added(plain, endpoint::chat, "functions", json::array({function})),
            o200k.count(json::array({function}).dump()));
  EXPECT_EQ(added(plain, endpoint::chat, "response_format", format), o200k.count(schema.dump()));
  EXPECT_EQ(added(plain, endpoint::chat, "tools", json::array()), 0U);
  EXPECT_EQ(added(plain, endpoint::chat, "response_format", {{"type", "json_object"}}), 0U);

  const json response{{"model", "gpt-4o"}, {"input", "hi"}};
  const json flat{{{"type", "function"}, {"name", "weather"}, {"parameters", schema}}};
  EXPECT_EQ(added(response, endpoint::responses, "tools", flat), o200k.count(flat.dump()));
  EXPECT_EQ(added(response, endpoint::responses, "text",
                  {{"format", {{"type", "json_schema"}, {"schema", schema}}}}),
            o200k.count(schema.dump()));

  options without;
  without.lacks = parse_missing_features("tools,json-schema");
  EXPECT_EQ(added(plain, endpoint::chat, "tools", tools, without), 0U) << "it ignores them";
  EXPECT_EQ(added(plain, endpoint::chat, "response_format", format, without), 0U);
}

TEST_F(Exchange, CountsFunctionCallsAndTheirResults) {
  const auto prompt = [](const json& item) {
    const json body{{"model", "gpt-4o"}, {"input", {item}}};
    return ask({}, body, endpoint::responses).usage.prompt;
  };
  const std::string words = "the weather in the city is fine";
  const auto tokens = *tokenizer_of("gpt-4o")->count(words);
  const json call{{"type", "function_call"}, {"name", "f"}, {"arguments", ""}};
  auto longer = call;
  longer["arguments"] = words;
  EXPECT_EQ(prompt(longer) - prompt(call), tokens);
  const json result{{"type", "function_call_output"}, {"output", ""}};
  for (const auto& output : {json(words), json{{{"type", "input_text"}, {"text", words}}}}) {
    longer = result;
    longer["output"] = output;
    EXPECT_EQ(prompt(longer) - prompt(result), tokens);
  }
}

TEST_F(Exchange, CountsPicturesByTheirSize) {
  const auto prompt = [](const json& part) {
    auto body = chat("gpt-4o", "");
    body["messages"][0]["content"] = {part};
    return ask({}, body).usage.prompt;
  };
  json part{{"type", "image_url"}, {"image_url", {{"url", "https://example.com/a.png"}}}};
  EXPECT_EQ(prompt(part), 7U + 85U + 8 * 170U);
  part["image_url"]["detail"] = "low";
  EXPECT_EQ(prompt(part), 7U + 85U);
  part["image_url"] = {{"url", png(1024, 1024)}};
  EXPECT_EQ(prompt(part), 7U + 85U + 4 * 170U);
  EXPECT_EQ(prompt({{"type", "refusal"}, {"refusal", "no"}}), 7U + 1U);
  EXPECT_EQ(ask({},
                {{"model", "gpt-4o"},
                 {"input",
                  {{{"role", "user"},
                    {"content", {{{"type", "input_image"}, {"image_url", png(9, 9)}}}}}}}},
                endpoint::responses)
                .usage.prompt,
            7U + 85U + 170U);
}

TEST_F(Exchange, AnswersInTheLanguageOfTheQuestion) {
  const auto settings = with_cheat("none");
  const auto chinese = content_of(answer_to(settings, chat("gpt-4", "请用中文写一段话")));
  EXPECT_EQ(chinese.find(' '), std::string::npos) << chinese;
  const auto english = content_of(answer_to(settings, chat("gpt-4", "Write a paragraph")));
  EXPECT_NE(english.find(' '), std::string::npos) << english;
}

TEST_F(Exchange, PartsComeAtTheTimesOfTheirTokens) {
  auto settings = with_cheat("none");
  settings.ttft = 100ms;
  settings.itl = 10ms;
  auto body = chat("gpt-4", "hi");
  const auto whole = ask(settings, body);
  body["stream"] = true;
  const auto streamed = ask(settings, body);
  const auto tokens = static_cast<std::int64_t>(streamed.usage.completion);
  ASSERT_GT(tokens, 20);
  EXPECT_GE(streamed.parts.front().after, 50ms);
  EXPECT_LE(streamed.parts.front().after, 150ms);
  for (std::size_t at = 1; at < streamed.parts.size(); ++at)
    EXPECT_LT(streamed.parts[at - 1].after, streamed.parts[at].after);
  EXPECT_LE(static_cast<std::int64_t>(streamed.parts.size()), tokens);
  ASSERT_EQ(whole.parts.size(), 1U);
  EXPECT_EQ(whole.parts[0].after, streamed.parts[0].after + tokens * 10ms);
}

TEST_F(Exchange, TooLongRequestsAreRefusedFreeOfCharge) {
  struct refusal {
    const char* model;
    std::uint64_t max_tokens;
    std::string message;
    std::string code;
  };
  for (const auto& [model, max_tokens, message, code] :
       {refusal{"gpt-4", 100'000,
                "This model's maximum context length is 8192 tokens. However, you requested 100008 "
                "tokens (8 in the messages, 100000 in the completion). Please reduce the length of "
                "the messages or completion.",
                "context_length_exceeded"},
        refusal{"gpt-4-turbo", 5000,
                "max_tokens is too large: 5000. This model supports at most 4096 completion "
                "tokens, whereas you provided 5000.",
                "invalid_value"},
        refusal{"gpt-4o", 16'385,
                "max_tokens is too large: 16385. This model supports at most 16384 completion "
                "tokens, whereas you provided 16385.",
                "invalid_value"}}) {
    auto body = chat(model, "hi");
    body["max_tokens"] = max_tokens;
    const auto reply = ask(with_cheat("none"), body);
    EXPECT_EQ(reply.status, 400) << model;
    const auto error = json::parse(reply.body())["error"];
    EXPECT_EQ(error["message"].get<std::string>().substr(0, message.size()), message);
    EXPECT_EQ(error["code"], code);
    EXPECT_EQ(reply.usage.total(), 0U);
    EXPECT_EQ(reply.cost, usd{});
  }
  auto body = chat("gpt-4", "hi");
  body["max_tokens"] = 8192 - 8;
  EXPECT_EQ(ask(with_cheat("none"), body).status, 200);
  body["max_tokens"] = 8192 - 7;
  EXPECT_EQ(ask(with_cheat("none"), body).status, 400);

  std::string words = "word";
  for (int count = 1; count < 9000; ++count) words += " word";
  const auto reply = ask(with_cheat("none"), chat("gpt-4", words));
  EXPECT_EQ(reply.status, 400);
  EXPECT_NE(reply.body().find("your messages resulted in 9007 tokens"), std::string::npos);
  EXPECT_EQ(ask(with_cheat("none"), chat("gpt-4o", words)).status, 200);

  body = chat("gpt-4.1", "hi");
  body["max_completion_tokens"] = 50'000;
  EXPECT_NE(ask(with_cheat("none"), body).body().find("max_completion_tokens is too large: 50000"),
            std::string::npos);
}

TEST_F(Exchange, AnUnknownModelIsRefused) {
  EXPECT_EQ(ask({}, chat("no-such-model", "hi")).status, 404);
  EXPECT_EQ(ask({}, {{"messages", json::array()}}).status, 400);
}

// Cheats

const std::vector<std::string> questions{"hi", "请用中文写一段话", "Tell me of the sea"};

/// The reply without its usage.
json without_usage(const exchange& reply) {
  auto body = json::parse(reply.body());
  body.erase("usage");
  return body;
}

TEST_F(Exchange, ASubstitutedModelAnswersUnderTheRequestedName) {
  const auto settings = with_cheat("substituted");
  for (const auto& [sold, served] :
       {std::pair{"gpt-4", "gpt-4o-mini"}, std::pair{"gpt-4o", "gpt-3.5-turbo"},
        std::pair{"gpt-3.5-turbo", "gpt-4o-mini"}}) {
    const auto& vocabulary = *tokenizer_of(served);
    for (const auto& question : questions) {
      auto body = chat(sold, question);
      body["logprobs"] = true;
      const auto reply = ask(settings, body);
      const auto document = json::parse(reply.body());
      EXPECT_EQ(document["model"], sold);
      EXPECT_EQ(reply.usage.prompt, prompt_by_the_cookbook(body, vocabulary));
      EXPECT_EQ(reply.usage.completion, vocabulary.count(content_of(document)));
      for (const auto& entry : document["choices"][0]["logprobs"]["content"])
        expect_printed_form(entry, vocabulary);
      const price_list prices(price_table_json());
      EXPECT_EQ(reply.cost, cost_of(reply.usage, *prices.find(sold))) << "billed as sold";
    }
  }
  // The limits and answers are those of the substituted model.
  auto body = chat("gpt-4-turbo", "hi");
  body["max_tokens"] = 5000;
  EXPECT_EQ(ask(with_cheat("none"), body).status, 400);
  EXPECT_EQ(ask(settings, body).status, 200);
  const auto trick = chat("gpt-4o", "鲁迅为什么打周树人");
  EXPECT_NE(content_of(answer_to(with_cheat("none"), trick)).find("同一个人"), std::string::npos);
  EXPECT_EQ(content_of(answer_to(settings, trick)).find("同一个人"), std::string::npos);
  EXPECT_EQ(content_of(answer_to(with_cheat("none"), chat("gpt-3.5-turbo", "9 birds, one shot"))),
            "8 birds are left.");
}

TEST_F(Exchange, InflatedChangesOnlyReportedAndBilledUsage) {
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    for (const auto& question : questions) {
      const auto honest = ask(with_cheat("none", seed), chat("gpt-4", question));
      const auto bad = ask(with_cheat("inflated", seed), chat("gpt-4", question));
      EXPECT_EQ(without_usage(bad), without_usage(honest));
      EXPECT_EQ(bad.parts[0].after, honest.parts[0].after);
      const auto factor =
          static_cast<double>(bad.usage.completion) / static_cast<double>(honest.usage.completion);
      EXPECT_GT(factor, 1.08);
      EXPECT_LT(factor, 1.52);
      EXPECT_NEAR(static_cast<double>(bad.usage.prompt),
                  factor * static_cast<double>(honest.usage.prompt), 1.0);
      const auto usage = json::parse(bad.body())["usage"];
      EXPECT_EQ(usage["prompt_tokens"], bad.usage.prompt);
      EXPECT_EQ(usage["completion_tokens"], bad.usage.completion);
      const price_list prices(price_table_json());
      EXPECT_EQ(bad.cost, cost_of(bad.usage, *prices.find("gpt-4")));
    }
  }
}

TEST_F(Exchange, InflatedIsChargedAtTheRatesOfTheReportedPrompt) {
  // The rates of qwen3-coder-flash rise above 32,000 tokens, and a token is four bytes.
  const auto body = chat("qwen3-coder-flash", std::string(30'000 * 4, 'x'));
  auto settings = with_cheat("inflated");
  settings.cache = prompt_cache::none;
  const auto bad = ask(settings, body);
  ASSERT_GT(bad.usage.prompt, 32'000U);
  const price_list prices(price_table_json());
  EXPECT_EQ(bad.cost, cost_of(bad.usage, *prices.at("qwen3-coder-flash", bad.usage.prompt, 0)));
  inference_service service(settings);
  const auto asked =
      std::get<inference_request>(service.understand(endpoint::chat, body.dump(), 1));
  EXPECT_EQ(
      service.worst_cost(asked, 0),
      cost_of({bad.usage.prompt, 0, 0, 0}, *prices.at("qwen3-coder-flash", bad.usage.prompt, 0)));
}

TEST_F(Exchange, AnInjectedPromptCountsTheSameInEveryChat) {
  std::uint64_t hidden = 0;
  for (const auto& question : questions) {
    const auto honest = ask(with_cheat("none"), chat("gpt-4", question));
    const auto bad = ask(with_cheat("injected"), chat("gpt-4", question));
    EXPECT_EQ(without_usage(bad), without_usage(honest));
    EXPECT_EQ(bad.usage.completion, honest.usage.completion);
    if (hidden == 0) hidden = bad.usage.prompt - honest.usage.prompt;
    EXPECT_EQ(bad.usage.prompt - honest.usage.prompt, hidden);
  }
  EXPECT_GE(hidden, 20U);
  EXPECT_LE(hidden, 200U);
  const json texts{{"model", "text-embedding-3-small"}, {"input", "hi"}};
  EXPECT_EQ(ask(with_cheat("injected"), texts, endpoint::embeddings).usage.prompt, 1U);
}

TEST_F(Exchange, AFakeStreamComesAtTheTimeOfTheWholeReply) {
  for (const auto& question : questions) {
    auto body = chat("gpt-4", question);
    body["stream"] = true;
    auto settings = with_cheat("none");
    settings.ttft = 100ms;
    settings.itl = 10ms;
    const auto honest = ask(settings, body);
    settings.cheat = parse_cheat("fake-stream");
    const auto bad = ask(settings, body);
    EXPECT_EQ(bad.body(), honest.body());
    EXPECT_EQ(bad.cost, honest.cost);
    ASSERT_EQ(bad.parts.size(), 1U);
    EXPECT_GT(honest.parts.size(), 10U);
    EXPECT_EQ(bad.parts[0].after, honest.parts[0].after + 10ms * (honest.usage.completion - 1));
    body["stream"] = false;
    EXPECT_EQ(ask(settings, body).parts[0].after,
              honest.parts[0].after + 10ms * honest.usage.completion);
  }
}

TEST_F(Exchange, OverbillingChangesOnlyTheCharge) {
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    const auto honest = ask(with_cheat("none", seed), chat("gpt-4", "hi"));
    const auto bad = ask(with_cheat("overbilled", seed), chat("gpt-4", "hi"));
    EXPECT_EQ(bad.body(), honest.body());
    EXPECT_EQ(bad.usage.total(), honest.usage.total());
    EXPECT_GE(static_cast<double>(bad.cost.units), 1.199 * static_cast<double>(honest.cost.units));
    EXPECT_LE(static_cast<double>(bad.cost.units), 2 * static_cast<double>(honest.cost.units));
  }
}

TEST_F(Exchange, MixedServesBothModels) {
  const auto settings = with_cheat("mixed");
  inference_service service(settings);
  const auto body = chat("gpt-4", "鲁迅写了什么").dump();
  const auto honest = ask(with_cheat("none"), json::parse(body));
  const auto bad = ask(with_cheat("substituted"), json::parse(body));
  ASSERT_NE(honest.usage.prompt, bad.usage.prompt);
  int other = 0;
  for (std::uint64_t number = 1; number <= 1000; ++number) {
    const auto reply = exchange_with(service, settings, endpoint::chat, body, number);
    EXPECT_TRUE(reply.usage.prompt == honest.usage.prompt ||
                reply.usage.prompt == bad.usage.prompt);
    other += reply.usage.prompt == bad.usage.prompt ? 1 : 0;
  }
  EXPECT_NEAR(other, 100, 40);
}

// Honest relays that differ

TEST_F(Exchange, AnUnsupportedFieldIsIgnored) {
  auto settings = with_cheat("none");
  auto body = chat("gpt-4o", "hi");
  body["logprobs"] = true;
  body["tools"] = {{{"type", "function"}, {"function", {{"name", "f"}}}}};
  body["tool_choice"] = "required";
  settings.lacks = parse_missing_features("tools");
  auto choice = answer_to(settings, body)["choices"][0];
  EXPECT_TRUE(choice["message"]["content"].is_string());
  EXPECT_FALSE(choice["message"].contains("tool_calls"));
  EXPECT_FALSE(choice["logprobs"].is_null());
  settings.lacks = parse_missing_features("logprobs");
  choice = answer_to(settings, body)["choices"][0];
  EXPECT_TRUE(choice["logprobs"].is_null());
  EXPECT_TRUE(choice["message"].contains("tool_calls"));

  body = chat("gpt-4o", "hi");
  body["response_format"] = json::parse(
      R"({"type":"json_schema","json_schema":{"schema":{"type":"object","properties":{}}}})");
  EXPECT_EQ(content_of(answer_to(settings, body)), "{}");
  settings.lacks = parse_missing_features("json-schema");
  EXPECT_NE(content_of(answer_to(settings, body)), "{}");
  body["response_format"] = {{"type", "json_object"}};
  EXPECT_TRUE(json::accept(content_of(answer_to(settings, body))));
}

TEST_F(Exchange, AChatMayHaveAnotherOverhead) {
  auto settings = with_cheat("none");
  settings.chat_overhead = 11;
  EXPECT_EQ(ask(settings, chat("gpt-4", "hi")).usage.prompt, 8U + 11U);
  const json prompt{{"model", "gpt-3.5-turbo-instruct"}, {"prompt", "hi"}};
  EXPECT_EQ(ask(settings, prompt, endpoint::completions).usage.prompt, 1U);
}

}  // namespace
}  // namespace sluice::simulator
