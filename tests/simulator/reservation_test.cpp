// Compares what the relay charges with what the client reserves from a budget for the same request.
// The two share no code.
#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "money/cost_bound.hpp"
#include "pictures.hpp"
#include "simulator/exchange.hpp"
#include "simulator/random.hpp"

namespace sluice::simulator {
namespace {

using nlohmann::json;

/// The client's bound of the tokens in a prompt.
std::int64_t reserved_prompt(endpoint to, const json& body) {
  request asked;
  asked.target =
      to == endpoint::chat ? sluice::endpoint::chat_completions : sluice::endpoint::responses;
  asked.model = body["model"];
  asked.body = body.dump();
  const auto bound = bound_tokens(asked, asked.model, 1000, std::nullopt);
  if (!bound) {
    ADD_FAILURE() << bound.error();
    return 0;
  }
  return bound_prompt(asked, bound->prompt);
}

std::uint64_t charged_prompt(endpoint to, const json& body) {
  inference_service service(options{});
  const auto reply = exchange_with(service, options{}, to, body.dump(), 1);
  EXPECT_EQ(reply.status, 200) << reply.body();
  return reply.usage.prompt;
}

template <class List>
std::string one_of(random& random, const List& list) {
  return list[random.below(static_cast<std::uint32_t>(std::size(list)))];
}

constexpr std::array words{"x", "the weather in 北京 \"today\"", "a\nb", "1234567890"};

json random_schema(random& random, int depth = 0) {
  json schema{{"type", "object"}, {"properties", json::object()}};
  for (auto count = random.below(3); count > 0; --count) {
    auto& property = schema["properties"][one_of(random, words)];
    property = depth < 2 ? random_schema(random, depth + 1) : json{{"type", "string"}};
    if (random.below(2) == 0) property["enum"] = {1, 2.5, one_of(random, words)};
  }
  if (random.below(2) == 0) schema["description"] = one_of(random, words);
  return schema;
}

json random_picture(random& random, endpoint to) {
  const auto side = [&random] { return 1 + random.below(5000); };
  const std::array urls{std::string("https://example.com/a"), png(side(), side()),
                        jpeg(side(), side()), gif(side(), side())};
  const json url(one_of(random, urls));
  json part{{"type", "input_image"}, {"image_url", url}};
  if (to == endpoint::chat) part = {{"type", "image_url"}, {"image_url", {{"url", url}}}};
  auto& holder = to == endpoint::chat ? part["image_url"] : part;
  if (random.below(2) == 0) holder["detail"] = one_of(random, std::array{"low", "high", "auto"});
  return part;
}

json random_content(random& random, endpoint to) {
  if (random.below(3) == 0) return one_of(random, words);
  auto parts = json::array();
  for (auto count = random.below(4); count > 0; --count) {
    const auto kind = random.below(3);
    const char* const text = to == endpoint::chat ? "text" : "input_text";
    if (kind == 0)
      parts.push_back({{"type", text}, {"text", one_of(random, words)}});
    else if (kind == 1)
      parts.push_back({{"type", "refusal"}, {"refusal", one_of(random, words)}});
    else
      parts.push_back(random_picture(random, to));
  }
  return parts;
}

json random_chat(random& random) {
  json body{{"model", ""}, {"messages", json::array()}};
  for (auto count = 1 + random.below(3); count > 0; --count) {
    json message{{"role", one_of(random, std::array{"user", "system", "assistant", "tool"})},
                 {"content", random_content(random, endpoint::chat)}};
    const json call{{"name", "f"}, {"arguments", R"({"at":1})"}};
    if (random.below(4) == 0) message["tool_calls"] = {{{"id", "c"}, {"function", call}}};
    if (random.below(6) == 0) message["function_call"] = call;
    body["messages"].push_back(message);
  }
  const json function{{"name", "f"}, {"parameters", random_schema(random)}};
  if (random.below(2) == 0) body["tools"] = {{{"type", "function"}, {"function", function}}};
  if (random.below(4) == 0) body["functions"] = json::array({function});
  if (random.below(3) == 0)
    body["response_format"] = {{"type", "json_schema"},
                               {"json_schema", {{"schema", random_schema(random)}}}};
  return body;
}

json random_response(random& random) {
  json body{{"model", ""}, {"input", json::array()}};
  for (auto count = 1 + random.below(3); count > 0; --count) {
    switch (random.below(3)) {
      case 0:
        body["input"].push_back(
            {{"type", "function_call"}, {"name", "f"}, {"arguments", R"({"at":1})"}});
        break;
      case 1:
        body["input"].push_back({{"type", "function_call_output"},
                                 {"call_id", "c"},
                                 {"output", random_content(random, endpoint::responses)}});
        break;
      default:
        body["input"].push_back(
            {{"role", "user"}, {"content", random_content(random, endpoint::responses)}});
    }
  }
  if (random.below(2) == 0)
    body["tools"] = {{{"type", "function"}, {"name", "f"}, {"parameters", random_schema(random)}}};
  if (random.below(3) == 0)
    body["text"] = {{"format", {{"type", "json_schema"}, {"schema", random_schema(random)}}}};
  return body;
}

TEST(Reservation, NoPromptIsChargedAboveIt) {
  constexpr std::array models{"gpt-4o",       "gpt-4o-mini", "gpt-4-turbo",      "gpt-4.1",
                              "gpt-4.1-mini", "gpt-5",       "gpt-5-mini",       "o1",
                              "o3",           "o4-mini",     "claude-sonnet-4-5"};
  for (std::uint64_t number = 0; number < 2000; ++number) {
    random random(number);
    const auto to = random.below(2) == 0 ? endpoint::chat : endpoint::responses;
    auto body = to == endpoint::chat ? random_chat(random) : random_response(random);
    body["model"] = one_of(random, models);
    ASSERT_LE(static_cast<std::int64_t>(charged_prompt(to, body)), reserved_prompt(to, body))
        << body.dump();
  }
}

TEST(Reservation, APictureOfUnknownSizeUsesMostOfIt) {
  for (const std::string model : {"gpt-4o", "gpt-4o-mini", "gpt-5", "o1"}) {
    const json part{{"type", "image_url"}, {"image_url", {{"url", "https://example.com/a"}}}};
    const json body{{"model", model}, {"messages", {{{"role", "user"}, {"content", {part}}}}}};
    const auto charged = static_cast<std::int64_t>(charged_prompt(endpoint::chat, body));
    EXPECT_LE(reserved_prompt(endpoint::chat, body) - charged, 150) << model;
  }
}

}  // namespace
}  // namespace sluice::simulator
