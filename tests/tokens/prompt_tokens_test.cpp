#include "tokens/prompt_tokens.hpp"

#include <gmock/gmock.h>

#include <optional>
#include <string>
#include <string_view>

namespace sluice {
namespace {

TEST(token_count, a_model_has_the_vocabulary_of_its_family) {
  const struct {
    const char* model;
    std::optional<vocabulary> expected;
  } rows[] = {
      {"gpt-3.5-turbo", vocabulary::cl100k_base},
      {"gpt-3.5-turbo-0301", vocabulary::cl100k_base},
      {"gpt-35-turbo-16k", vocabulary::cl100k_base},
      {"gpt-4", vocabulary::cl100k_base},
      {"gpt-4-1106-preview", vocabulary::cl100k_base},
      {"gpt-4-turbo-2024-04-09", vocabulary::cl100k_base},
      {"text-embedding-ada-002", vocabulary::cl100k_base},
      {"text-embedding-3-large", vocabulary::cl100k_base},
      {"davinci-002", vocabulary::cl100k_base},
      {"ft:gpt-3.5-turbo-0613:some-org::abc123", vocabulary::cl100k_base},
      {"gpt-4o", vocabulary::o200k_base},
      {"gpt-4o-mini-2024-07-18", vocabulary::o200k_base},
      {"chatgpt-4o-latest", vocabulary::o200k_base},
      {"gpt-4.1-nano", vocabulary::o200k_base},
      {"gpt-4.5-preview", vocabulary::o200k_base},
      {"gpt-5", vocabulary::o200k_base},
      {"gpt-5.2-chat-latest", vocabulary::o200k_base},
      {"o1", vocabulary::o200k_base},
      {"o3-mini", vocabulary::o200k_base},
      {"o4-mini-2025-04-16", vocabulary::o200k_base},
      {"gpt-oss-120b", vocabulary::o200k_base},
      {"openai/gpt-4o:extended", vocabulary::o200k_base},
      {"azure/openai/gpt-4", vocabulary::cl100k_base},
      {"ft:gpt-4o-mini:some-org::abc123", vocabulary::o200k_base},
      {"gpt-4.7", std::nullopt},
      {"gpt-40", std::nullopt},
      {"o10", std::nullopt},
      {"text-embedding-004", std::nullopt},
      {"claude-3-5-sonnet", std::nullopt},
      {"openai/", std::nullopt},
      {"", std::nullopt},
  };
  for (const auto& row : rows) EXPECT_EQ(vocabulary_of(row.model), row.expected) << row.model;
}

class prompts : public testing::Test {
 protected:
  void SetUp() override {
    if (tokenizer::of(vocabulary::cl100k_base) == nullptr)
      GTEST_SKIP() << "built without vocabularies";
  }

  static void expect(endpoint target, const char* model, const std::string& body,
                     std::uint64_t tokens, bool exact) {
    const token_count counted = prompt_tokens(target, model, body);
    EXPECT_EQ(counted.tokens, tokens) << model << ' ' << body;
    EXPECT_EQ(counted.exact, exact) << model << ' ' << body;
  }
  static void expect_chat(const char* model, const std::string& messages, std::uint64_t tokens,
                          bool exact) {
    expect(endpoint::chat_completions, model, R"({"messages":)" + messages + "}", tokens, exact);
  }
};

TEST_F(prompts, a_chat_of_text_is_counted_exactly) {
  expect_chat("gpt-4", R"([{"role":"user","content":"hi"}])", 8, true);
  expect_chat("gpt-4o-mini", R"([{"role":"user","content":"hi"}])", 8, true);
  expect_chat("gpt-4", R"([{"role":"user","content":"\u0068i"}])", 8, true);
  expect_chat("gpt-4", R"([{"content":[{"type":"text","text":"hi"}],"role":"user"}])", 8, true);
  expect_chat("gpt-4", R"([{"role":"user","content":"鲁迅为什么打周树人"}])", 14 + 7, true);
  expect_chat("gpt-4o", R"([{"role":"user","content":"鲁迅为什么打周树人"}])", 7 + 7, true);
  // The example from OpenAI's cookbook, "How to count tokens with tiktoken", with the billed
  // tokens.
  const std::string cookbook = R"([
    {"role":"system","content":"You are a helpful, pattern-following assistant that translates corporate jargon into plain English."},
    {"role":"system","name":"example_user","content":"New synergies will help drive top-line growth."},
    {"role":"system","name":"example_assistant","content":"Things working well together will increase revenue."},
    {"role":"system","name":"example_user","content":"Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage."},
    {"role":"system","name":"example_assistant","content":"Let's talk later when we're less busy about how to do better."},
    {"role":"user","content":"This late pivot means we don't have time to boil the ocean for the client deliverable."}])";
  expect_chat("gpt-3.5-turbo-0301", cookbook, 127, true);
  expect_chat("gpt-3.5-turbo", cookbook, 129, true);
  expect_chat("gpt-4-0613", cookbook, 129, true);
  expect_chat("gpt-4o", cookbook, 124, true);
}

TEST_F(prompts, prompts_with_unknown_overhead_are_estimates) {
  const std::string hi = R"([{"role":"user","content":"hi"}])";
  expect_chat("o3", hi, 8, false);
  expect_chat("claude-3-5-sonnet", hi, 8, false);
  expect_chat("gpt-4", "[]", 3, false);
  expect_chat("gpt-4", R"([{"role":"user"}])", 7, false);
  expect_chat("gpt-4", R"([7])", 6, false);
  expect_chat(
      "gpt-4o",
      R"([{"role":"user","content":[{"type":"text","text":"hi"},{"type":"text","text":"hi"}]}])", 9,
      false);
  expect_chat(
      "gpt-4o",
      R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:,","detail":"low"}}]}])",
      85 + 7, false);
  expect(endpoint::chat_completions, "gpt-4o",
         R"({"response_format":{"type":"json_object"},"messages":)" + hi + "}", 8, false);
  expect(endpoint::chat_completions, "gpt-4o", "{\"messages\":[", 4, false);
  expect(endpoint::chat_completions, "gpt-4o", "", 0, false);
  expect_chat("gpt-4", "[{\"role\":\"user\",\"content\":\"\xFF\xFF\xFF\xFF\xFF\"}]", 12, false);
}

TEST_F(prompts, ambiguous_prompts_are_estimates) {
  for (const char* message :
       {R"({"role":"user","content":"long","content":"hi"})",
        R"({"role":"user","content":"hi","Content":"long"})",
        R"({"role":"user","content":"hi","role":"user"})",
        R"({"role":"user","content":[{"type":"text","text":"long","text":"hi"}]})",
        R"({"role":"user","content":[{"type":"text","text":"hi","Text":"long"}]})"}) {
    EXPECT_FALSE(prompt_tokens(endpoint::chat_completions, "gpt-4",
                               R"({"messages":[)" + std::string(message) + "]}")
                     .exact)
        << message;
  }
  expect_chat("gpt-4", R"([{"role":"user","content":"hi","refusal":null}])", 8, true);
  expect_chat(
      "gpt-4",
      R"([{"role":"user","content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral"}}]}])",
      8, true);
}

TEST_F(prompts, images_are_counted_by_the_models_rule_and_their_size) {
  const auto image = [](const std::string& url, const std::string& more = {}) {
    return R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":")" + url + "\"" +
           more + "}}]}]";
  };
  const std::string far = "https://example.com/a.png";
  const std::string wide =  // 2000 by 400 pixels
      "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAB9AAAAGQCAYAAAA=";
  expect_chat("gpt-4o", image(far), 765 + 7, false);
  expect_chat("gpt-4o-mini", image(far), 25501 + 7, false);
  expect_chat("gpt-4o-mini", image(far, R"(,"detail":"low")"), 2833 + 7, false);
  expect_chat("gpt-4.1-mini", image(far), 1659 + 7, false);
  expect_chat("gpt-5-nano", image(far), 2520 + 7, false);
  expect_chat("gpt-4o", image(wide), 85 + 4 * 170 + 7, false);
  expect_chat("gpt-4.1-mini", image(wide), 1327 + 7, false);
  expect_chat("nobody-knows", image(far), 765 + 7, false);
  expect(
      endpoint::responses, "o3",
      R"({"input":[{"role":"user","content":[{"type":"input_image","detail":"low","image_url":")" +
          far + R"("}]}]})",
      75 + 7, false);
}

// The expected numbers are real bills for gpt-3.5-turbo from
// https://github.com/hmarr/openai-chat-tokens.
TEST_F(prompts, estimates_of_functions_match_real_bills) {
  const auto expect_functions = [](const std::string& messages, const std::string& functions,
                                   std::uint64_t tokens) {
    const std::string rest = R"(,"messages":)" + messages + "}";
    expect(endpoint::chat_completions, "gpt-3.5-turbo",
           R"({"functions":[)" + functions + "]" + rest, tokens, false);
    expect(endpoint::chat_completions, "gpt-3.5-turbo",
           R"({"tools":[{"type":"function","function":)" + functions + "}]" + rest, tokens, false);
  };
  const std::string hello = R"([{"role":"user","content":"hello"}])";
  expect_functions(hello, R"({"name":"foo","parameters":{"type":"object","properties":{}}})", 31);
  expect_functions(hello, R"({"name":"foo","description":"Do a foo"})", 36);
  expect_functions(
      hello, R"({"name":"bing_bong","description":"Do a bing bong","parameters":{"type":"object",
    "properties":{"foo":{"type":"string"},"bar":{"type":"number","description":"A number"}}}})",
      57);
  expect_functions(
      hello, R"({"name":"bing_bong","description":"Do a bing bong","parameters":{"type":"object",
    "properties":{"foo":{"type":"object","properties":{
      "bar":{"type":"string","enum":["a","b","c"]},"baz":{"type":"boolean"}}}}}})",
      68);
  expect_functions(hello, R"json({"name":"get_recipe","parameters":{"type":"object",
    "required":["ingredients","instructions","time_to_cook"],"properties":{
      "ingredients":{"type":"array","items":{"type":"object","required":["name","unit","amount"],"properties":{
        "name":{"type":"string"},"unit":{"enum":["grams","ml","cups","pieces","teaspoons"],"type":"string"},
        "amount":{"type":"number"}}}},
      "instructions":{"type":"array","items":{"type":"string"},
        "description":"Steps to prepare the recipe (no numbering)"},
      "time_to_cook":{"type":"number","description":"Total time to prepare the recipe in minutes"}}}})json",
                   106);
  const std::string with_system =
      R"([{"role":"system","content":"Hello:"},{"role":"system","content":"Hello"},{"role":"user","content":"Hi there"}])";
  expect_functions(with_system,
                   R"({"name":"do_stuff","parameters":{"type":"object","properties":{}}})", 40);
  expect_chat("gpt-3.5-turbo", R"([{"role":"user","content":"hello world"},
    {"role":"function","name":"do_stuff","content":"{\"foo\": \"bar\", \"baz\": 1.5}"}])",
              28, false);
  expect_chat("gpt-3.5-turbo", R"([{"role":"assistant","content":"",
    "function_call":{"name":"do_stuff","arguments":"{\"foo\": \"bar\", \"baz\": 1.5}"}}])",
              26, false);
}

TEST_F(prompts, a_schema_of_any_depth_is_read) {
  std::string schema;
  for (int depth = 0; depth < 10000; ++depth) schema += R"({"type":"array","items":)";
  schema += R"({"type":"string"})" + std::string(10000, '}');
  const token_count counted = prompt_tokens(
      endpoint::chat_completions, "gpt-4",
      R"({"messages":[],"tools":[{"function":{"name":"f","parameters":{"properties":{"p":)" +
          schema + "}}}}]}");
  EXPECT_FALSE(counted.exact);
  EXPECT_LT(counted.tokens, 100);
}

TEST_F(prompts, other_endpoints_count_their_input) {
  const char* instruct = "gpt-3.5-turbo-instruct";
  expect(endpoint::completions, instruct, R"({"prompt":"hello world"})", 2, true);
  expect(endpoint::completions, instruct, R"({"prompt":["hello world","hi"]})", 3, true);
  expect(endpoint::completions, instruct, R"({"prompt":[15339,1917,0]})", 3, true);
  expect(endpoint::completions, instruct, R"({"prompt":[[15339,1917],[0]]})", 3, true);
  expect(endpoint::completions, instruct, R"({"prompt":"hello world","suffix":"!"})", 2, false);
  expect(endpoint::completions, instruct, R"({})", 0, false);
  expect(endpoint::embeddings, "text-embedding-3-small", R"({"input":["hello world","hi"]})", 3,
         true);
  expect(endpoint::embeddings, "some-embedder", R"({"input":"hi"})", 1, false);
  expect(endpoint::responses, "gpt-4o", R"({"input":"hi"})", 8, false);
  expect(endpoint::responses, "gpt-4o", R"({"instructions":"hi","input":"hi"})", 13, false);
  expect(endpoint::responses, "gpt-4o",
         R"({"input":[{"role":"user","content":[{"type":"input_text","text":"hi"}]}]})", 8, false);
}

TEST_F(prompts, a_reply_counts_as_its_text) {
  EXPECT_EQ(completion_tokens("gpt-4", "hello world").tokens, 2);
  EXPECT_TRUE(completion_tokens("gpt-4", "hello world").exact);
  EXPECT_FALSE(completion_tokens("some-model", "hello world").exact);
  EXPECT_EQ(completion_tokens("gpt-4", "").tokens, 0);
}

}  // namespace
}  // namespace sluice
