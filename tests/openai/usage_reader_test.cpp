#include "openai/usage_reader.hpp"

#include <gtest/gtest.h>

#include <string>

#include "openai/chunk.hpp"

namespace sluice::openai {
namespace {

struct usage_case {
  const char* name;
  std::string text;
  std::optional<token_usage> tokens;
  endpoint target = endpoint::chat_completions;
};
std::ostream& operator<<(std::ostream& out, const usage_case& row) {
  return out << row.name;
}

token_usage counts(std::int64_t prompt, std::int64_t cached, std::int64_t completion,
                   std::int64_t reasoning) {
  return {.prompt_tokens = prompt,
          .cached_tokens = cached,
          .completion_tokens = completion,
          .reasoning_tokens = reasoning};
}

token_usage written(token_usage counted, std::int64_t usual, std::int64_t an_hour = 0) {
  counted.cache_write_tokens = usual;
  counted.cache_write_1h_tokens = an_hour;
  return counted;
}

token_usage spoken(token_usage counted, std::int64_t prompt, std::int64_t completion) {
  counted.audio_prompt_tokens = prompt;
  counted.audio_completion_tokens = completion;
  return counted;
}

class UsageReader : public testing::TestWithParam<usage_case> {};

TEST_P(UsageReader, CountsWhatTheRelayMeant) {
  chunk_reader reader;
  EXPECT_EQ(read_usage(reader.object(GetParam().text), GetParam().target).tokens,
            GetParam().tokens);
}

INSTANTIATE_TEST_SUITE_P(
    Dialects, UsageReader,
    testing::Values(
        usage_case{
            "chat",
            R"({"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"audio_tokens":1,"reasoning_tokens":3}})",
            spoken(counts(10, 4, 5, 3), 0, 1)},
        usage_case{
            "responses",
            R"({"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":15})",
            counts(10, 4, 5, 3)},
        usage_case{"embeddings", R"({"prompt_tokens":8,"total_tokens":8})", counts(8, 0, 0, 0),
                   endpoint::embeddings},
        usage_case{"embeddings with a total alone", R"({"total_tokens":8})", counts(8, 0, 0, 0),
                   endpoint::embeddings},
        usage_case{"embeddings with a prompt of zero", R"({"prompt_tokens":0,"total_tokens":8})",
                   counts(8, 0, 0, 0), endpoint::embeddings},
        usage_case{"embeddings complete nothing, whatever the total",
                   R"({"prompt_tokens":8,"total_tokens":9})", counts(8, 0, 0, 0),
                   endpoint::embeddings},
        usage_case{"embeddings of nothing", R"({"prompt_tokens":0,"total_tokens":0})",
                   counts(0, 0, 0, 0), endpoint::embeddings},
        usage_case{"a total alone tells nothing of the parts", R"({"total_tokens":8})",
                   std::nullopt},
        usage_case{"nor does one beside zeros",
                   R"({"prompt_tokens":0,"completion_tokens":0,"total_tokens":8})", std::nullopt},
        usage_case{"a completion that only the total tells",
                   R"({"prompt_tokens":7,"total_tokens":10})", counts(7, 0, 3, 0)},
        usage_case{"a completion of zero that the total knows better",
                   R"({"prompt_tokens":7,"completion_tokens":0,"total_tokens":10})",
                   counts(7, 0, 3, 0)},
        usage_case{"a prompt that only the total tells",
                   R"({"completion_tokens":3,"total_tokens":10})", counts(7, 0, 3, 0)},
        usage_case{"a prompt of zero that the total knows better",
                   R"({"prompt_tokens":0,"completion_tokens":3,"total_tokens":10})",
                   counts(7, 0, 3, 0)},
        usage_case{"a prompt of zero beside no completion tells nothing of the parts",
                   R"({"prompt_tokens":0,"total_tokens":8})", std::nullopt},
        usage_case{
            "the counts of other kinds are parts of these",
            R"({"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":1,"text_tokens":9,"image_tokens":0,"cache_write_tokens":2},"completion_tokens_details":{"reasoning_tokens":3,"audio_tokens":1,"accepted_prediction_tokens":1,"rejected_prediction_tokens":1}})",
            written(spoken(counts(10, 4, 5, 3), 1, 1), 2)},
        usage_case{
            "pictures apart",
            R"({"input_tokens":60,"output_tokens":50,"input_tokens_details":{"text_tokens":10,"image_tokens":50},"output_tokens_details":{"image_tokens":40}})",
            token_usage{.prompt_tokens = 60,
                        .completion_tokens = 50,
                        .image_prompt_tokens = 50,
                        .image_completion_tokens = 40}},
        usage_case{
            "Claude's split of what was written",
            R"({"input_tokens":10,"cache_read_input_tokens":4000,"cache_creation_input_tokens":2000,"cache_creation":{"ephemeral_5m_input_tokens":500,"ephemeral_1h_input_tokens":1500},"output_tokens":250})",
            written(counts(6010, 4000, 250, 0), 500, 1500)},
        usage_case{
            "parts that are more than the whole are cut to it",
            R"({"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":9},"completion_tokens_details":{"audio_tokens":9}})",
            spoken(counts(10, 4, 5, 0), 6, 5)},
        usage_case{
            "both families, one of zeros",
            R"({"prompt_tokens":10,"completion_tokens":5,"input_tokens":0,"output_tokens":0,"input_tokens_details":null})",
            counts(10, 0, 5, 0)},
        usage_case{
            "both families, the other of zeros",
            R"({"prompt_tokens":0,"completion_tokens":0,"input_tokens":10,"output_tokens":5})",
            counts(10, 0, 5, 0)},
        usage_case{
            "details of both families, one of zeros",
            R"({"prompt_tokens":10,"prompt_tokens_details":{"cached_tokens":4},"input_tokens_details":{"cached_tokens":0},"completion_tokens":5})",
            counts(10, 4, 5, 0)},
        usage_case{
            "details that are null",
            R"({"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null,"completion_tokens_details":{"reasoning_tokens":null}})",
            counts(10, 0, 5, 0)},
        usage_case{
            "DeepSeek's cache hits",
            R"({"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":6})",
            counts(10, 4, 5, 0)},
        usage_case{
            "DeepSeek's cache hits beside details that are null",
            R"({"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null,"prompt_cache_hit_tokens":4})",
            counts(10, 4, 5, 0)},
        usage_case{
            "Claude's cached tokens stand beside its input",
            R"({"input_tokens":3,"cache_read_input_tokens":4,"cache_creation_input_tokens":2,"output_tokens":5})",
            written(counts(9, 4, 5, 0), 2)},
        usage_case{
            "the same beside zeros of the other family",
            R"({"prompt_tokens":0,"completion_tokens":0,"total_tokens":0,"input_tokens":3,"cache_read_input_tokens":4,"cache_creation_input_tokens":2,"output_tokens":5})",
            written(counts(9, 4, 5, 0), 2)},
        usage_case{
            "details of responses that are null",
            R"({"input_tokens":10,"output_tokens":5,"input_tokens_details":null,"output_tokens_details":null})",
            counts(10, 0, 5, 0)},
        usage_case{"beside prompt_tokens they are told already",
                   R"({"prompt_tokens":10,"completion_tokens":5,"cache_read_input_tokens":4})",
                   counts(10, 0, 5, 0)},
        // https://github.com/decolua/9router/pull/2658
        usage_case{
            "more cached than prompt: it stands beside",
            R"({"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":99}})",
            counts(109, 99, 5, 0)},
        usage_case{
            "Claude behind OpenAI's fields, the total of what is billed fresh",
            R"({"prompt_tokens":21,"completion_tokens":5,"total_tokens":26,"prompt_tokens_details":{"cached_tokens":188086}})",
            counts(188107, 188086, 5, 0)},
        usage_case{
            "the same with the total of all",
            R"({"prompt_tokens":21,"completion_tokens":5,"total_tokens":188112,"prompt_tokens_details":{"cached_tokens":188086}})",
            counts(188107, 188086, 5, 0)},
        usage_case{
            "the same in Claude's own words",
            R"({"prompt_tokens":21,"completion_tokens":5,"cache_read_input_tokens":188086,"cache_creation_input_tokens":300})",
            written(counts(188407, 188086, 5, 0), 300)},
        usage_case{
            "and in both words: it is told twice and counted once",
            R"({"prompt_tokens":21,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":188086,"cached_creation_tokens":300},"cache_read_input_tokens":188086,"cache_creation_input_tokens":300})",
            written(counts(188407, 188086, 5, 0), 300)},
        usage_case{
            "what was written to the cache alone",
            R"({"prompt_tokens":21,"completion_tokens":5,"cache_creation_input_tokens":300})",
            written(counts(321, 0, 5, 0), 300)},
        usage_case{
            "in the words of responses",
            R"({"input_tokens":21,"output_tokens":5,"input_tokens_details":{"cached_tokens":400}})",
            counts(421, 400, 5, 0)},
        usage_case{
            "read and written that fit into the prompt only one by one",
            R"({"prompt_tokens":150,"completion_tokens":5,"cache_read_input_tokens":100,"cache_creation_input_tokens":100})",
            written(counts(350, 100, 5, 0), 100)},
        usage_case{
            "less cached than prompt, and a total that has both",
            R"({"prompt_tokens":150,"completion_tokens":5,"total_tokens":255,"prompt_tokens_details":{"cached_tokens":100}})",
            counts(250, 100, 5, 0)},
        usage_case{
            "nothing fresh at all",
            R"({"prompt_tokens":0,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":400}})",
            counts(400, 400, 5, 0)},
        usage_case{
            "Moonshot's cached tokens",
            R"({"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"cached_tokens":4})",
            counts(10, 4, 5, 0)},
        // https://docs.x.ai/docs/key-information/consumption-and-rate-limits
        // https://github.com/vercel/ai/pull/12425
        usage_case{
            "xAI's reasoning beside the completion",
            R"({"prompt_tokens":12,"completion_tokens":2,"total_tokens":331,"completion_tokens_details":{"reasoning_tokens":317}})",
            counts(12, 0, 319, 317)},
        // https://github.com/Wei-Shaw/sub2api/issues/5771
        usage_case{
            "the same with a part of the prompt cached",
            R"({"prompt_tokens":10120,"completion_tokens":1499,"total_tokens":14428,"prompt_tokens_details":{"cached_tokens":128},"completion_tokens_details":{"reasoning_tokens":2809}})",
            counts(10120, 128, 4308, 2809)},
        // https://github.com/router-for-me/CLIProxyAPI/issues/5733
        usage_case{
            "Gemini's thoughts, and no word of an answer",
            R"({"prompt_tokens":21,"completion_tokens":0,"total_tokens":81,"completion_tokens_details":{"reasoning_tokens":60}})",
            counts(21, 0, 60, 60)},
        // https://github.com/mozilla-ai/any-llm/issues/1290
        usage_case{"Gemini's thoughts in the total alone",
                   R"({"prompt_tokens":20,"completion_tokens":198,"total_tokens":623})",
                   counts(20, 0, 603, 0)},
        usage_case{"the same in the words of responses",
                   R"({"input_tokens":20,"output_tokens":198,"total_tokens":623})",
                   counts(20, 0, 603, 0)},
        usage_case{
            "a cache beside the prompt, and reasoning beside the completion",
            R"({"prompt_tokens":12,"completion_tokens":2,"total_tokens":431,"prompt_tokens_details":{"cached_tokens":100},"completion_tokens_details":{"reasoning_tokens":317}})",
            counts(112, 100, 319, 317)},
        usage_case{"a total that is less than its parts tells nothing",
                   R"({"prompt_tokens":12,"completion_tokens":2,"total_tokens":3})",
                   counts(12, 0, 2, 0)},
        usage_case{
            "SGLang's reasoning tokens, a part of the completion",
            R"({"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"reasoning_tokens":3})",
            counts(10, 0, 5, 3)},
        usage_case{
            "more reasoning than completion",
            R"({"prompt_tokens":10,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":9}})",
            counts(10, 0, 5, 5)},
        usage_case{
            "LiteLLM: writes by their lifetime, in the details",
            R"({"prompt_tokens":100010,"completion_tokens":5,"total_tokens":100015,"prompt_tokens_details":{"cached_tokens":0,"cache_creation_tokens":100000,"cache_creation_token_details":{"ephemeral_5m_input_tokens":1000,"ephemeral_1h_input_tokens":99000}},"cache_creation_input_tokens":100000})",
            written(counts(100010, 0, 5, 0), 1000, 99000)},
        usage_case{
            "LiteLLM: no writes",
            R"({"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cache_creation_tokens":0,"cache_creation_token_details":null}})",
            counts(10, 0, 5, 0)},
        usage_case{
            "new-api: writes by their lifetime, beside the details",
            R"({"prompt_tokens":100010,"completion_tokens":5,"total_tokens":100015,"prompt_tokens_details":{"cached_tokens":0,"cached_creation_tokens":100000},"claude_cache_creation_5_m_tokens":0,"claude_cache_creation_1_h_tokens":100000})",
            written(counts(100010, 0, 5, 0), 0, 100000)},
        usage_case{
            "new-api: a reply of a model without such a cache",
            R"({"input_tokens":100,"output_tokens":5,"cached_tokens":50,"claude_cache_creation_5_m_tokens":0,"claude_cache_creation_1_h_tokens":0})",
            counts(100, 50, 5, 0)},
        usage_case{
            "Claude: only the parts of the writes",
            R"({"input_tokens":10,"output_tokens":250,"cache_creation":{"ephemeral_5m_input_tokens":500,"ephemeral_1h_input_tokens":1500}})",
            written(counts(2010, 0, 250, 0), 500, 1500)},
        usage_case{
            "Claude: the parts are more than their sum",
            R"({"input_tokens":10,"output_tokens":250,"cache_creation_input_tokens":1500,"cache_creation":{"ephemeral_5m_input_tokens":500,"ephemeral_1h_input_tokens":1500}})",
            written(counts(2010, 0, 250, 0), 500, 1500)},
        usage_case{
            "only the parts of the writes, within the prompt",
            R"({"prompt_tokens":2010,"completion_tokens":250,"total_tokens":2260,"cache_creation":{"ephemeral_5m_input_tokens":500,"ephemeral_1h_input_tokens":1500}})",
            written(counts(2010, 0, 250, 0), 500, 1500)},
        usage_case{"whole numbers with a point",
                   R"({"prompt_tokens":10.0,"completion_tokens":5e0})", counts(10, 0, 5, 0)},
        usage_case{"negative counts", R"({"prompt_tokens":10,"completion_tokens":-1})",
                   std::nullopt},
        usage_case{"counts as strings",
                   R"({"prompt_tokens":10,"completion_tokens":"5","prompt_tokens_details":[1]})",
                   counts(10, 0, 5, 0)},
        usage_case{"counts that are none", R"({"prompt_tokens":10,"completion_tokens":"five"})",
                   std::nullopt},
        usage_case{"counts beyond reason",
                   R"({"prompt_tokens":10,"completion_tokens":123456789012345678901234567890})",
                   std::nullopt},
        usage_case{"the most that is believed",
                   R"({"prompt_tokens":1000000000000,"completion_tokens":1})",
                   counts(1000000000000, 0, 1, 0)},
        usage_case{"one more", R"({"prompt_tokens":1000000000001,"completion_tokens":1})",
                   std::nullopt},
        usage_case{
            "a lie about what is only a part",
            R"({"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9000000000000000}})",
            std::nullopt},
        usage_case{"a lie in the total alone",
                   R"({"prompt_tokens":10,"completion_tokens":1,"total_tokens":9e15})",
                   std::nullopt},
        usage_case{"half a token", R"({"prompt_tokens":10,"completion_tokens":1.5})", std::nullopt},
        usage_case{
            "details that are none",
            R"({"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":-1}})",
            counts(10, 0, 5, 0)},
        usage_case{"zeros are no report",
                   R"({"prompt_tokens":0,"completion_tokens":0,"total_tokens":0})", std::nullopt},
        usage_case{"nothing", "{}", std::nullopt},
        usage_case{"nothing of use",
                   R"({"prompt_tokens":null,"completion_tokens":-5,"requests":1})", std::nullopt}));

TEST(ServiceTier, IsReadFromTheUsageWhereAnthropicPutsIt) {
  chunk_reader reader;
  const auto tier = [&](const std::string& text) {
    return read_usage(reader.object(text), endpoint::chat_completions).service_tier;
  };
  EXPECT_EQ(tier(R"({"input_tokens":1,"service_tier":"standard"})"), "standard");
  EXPECT_EQ(tier(R"({"service_tier":null})"), "");
  EXPECT_EQ(tier("{}"), "");
}

TEST(ReportedCost, IsReadAsADecimal) {
  const auto cost = [](const std::string& text) -> std::string {
    chunk_reader reader;
    const auto found = read_usage(reader.object(text), endpoint::chat_completions).cost;
    return found ? found->to_string() : "none";
  };
  EXPECT_EQ(cost(R"({"cost":0.00014200})"), "0.000142");
  EXPECT_EQ(cost(R"({"cost":"0.5"})"), "0.5");
  EXPECT_EQ(cost(R"({"cost":1.4e-05})"), "0.000014");
  EXPECT_EQ(cost(R"({"cost":0.00030000000000000003})"), "0.0003");
  EXPECT_EQ(cost(R"({"cost":0})"), "0");
  EXPECT_EQ(cost(R"({"cost":null})"), "none");
  EXPECT_EQ(cost(R"({"cost":1e12})"), "none");
  EXPECT_EQ(cost(R"({"cost":-1})"), "none");
  EXPECT_EQ(cost(R"({"cost":"free"})"), "none");
  EXPECT_EQ(cost(R"({"cost":{"total":1}})"), "none");
  EXPECT_EQ(cost("{}"), "none");
}

}  // namespace
}  // namespace sluice::openai
