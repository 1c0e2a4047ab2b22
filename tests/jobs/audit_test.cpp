#include "jobs/audit.hpp"

#include <gmock/gmock.h>

#include <string>

namespace sluice {
namespace {

// Token counts from tiktoken: 14 in cl100k_base, 7 in o200k_base.
const std::string nine_hanzi = "鲁迅为什么打周树人";
constexpr std::int64_t of_cl100k = 14;
constexpr std::int64_t of_o200k = 7;
constexpr std::int64_t frame = 7;  // tokens around the content of a chat with one message

request chat_request(const std::string& model, const std::string& more = {}) {
  request asked;
  asked.model = model;
  asked.body = R"({"model":")" + model + R"(","messages":[{"role":"user","content":")" +
               nine_hanzi + R"("}])" + more + "}";
  return asked;
}

std::string chat_reply(const std::string& message) {
  return R"({"choices":[{"index":0,"message":)" + message + R"(,"finish_reason":"stop"}]})";
}

std::string saying(const std::string& text, const std::string& more = {}) {
  return chat_reply(R"({"role":"assistant","content":")" + text + "\"" + more + "}");
}

audited_request audited(const request& asked, const token_usage& usage, const std::string& reply) {
  return audit_reply(audit_prompt(asked), asked.model, usage, reply);
}

model_prices flat(const char* input, const char* cached, const char* output) {
  model_prices made;
  made.standard.base[token_kind::input] = usd::parse(input);
  made.standard.base[token_kind::cached_input] = usd::parse(cached);
  made.standard.base[token_kind::output] = usd::parse(output);
  return made;
}

TEST(audit, each_model_is_counted_by_its_own_tokenizer) {
  const struct {
    const char* model;
    std::int64_t tokens;
  } rows[] = {{"gpt-4", of_cl100k}, {"gpt-4o-mini", of_o200k}};
  for (const auto& row : rows) {
    SCOPED_TRACE(row.model);
    const auto found = audited(chat_request(row.model), {frame + row.tokens, 0, row.tokens, 0},
                               saying(nine_hanzi));
    ASSERT_TRUE(found.prompt && found.completion);
    EXPECT_EQ(found.prompt->counted, frame + row.tokens);
    EXPECT_EQ(found.completion->counted, row.tokens);
    EXPECT_EQ(found.excess_tokens(), 0);
  }
}

TEST(audit, what_is_reported_beyond_the_count_is_excess) {
  const token_usage told{frame + of_o200k + 20, 0, of_o200k + 30, 0};
  const auto found = audited(chat_request("gpt-4o"), told, saying(nine_hanzi));
  EXPECT_EQ(found.prompt->excess(), 20);
  // The end of the reply may count as one more token.
  EXPECT_EQ(found.completion->counted, of_o200k + 1);
  EXPECT_EQ(found.completion->excess(), 29);
  EXPECT_EQ(found.excess_tokens(), 49);
  const model_prices price = flat("0.0000025", "0.00000125", "0.00001");
  EXPECT_EQ(excess_cost(found, told, price, {})->to_string(), "0.00034");
}

TEST(audit, a_side_that_is_told_too_low_hides_nothing_of_the_other) {
  const auto found = audited(chat_request("gpt-4o"), {1, 0, of_o200k + 30, 0}, saying(nine_hanzi));
  EXPECT_EQ(found.excess_tokens(), 29);
}

TEST(audit, the_excess_costs_what_the_counts_would_not_have) {
  const model_prices price = flat("0.000002", "0.000001", "0.00001");
  // The relay reports 114 prompt tokens, 110 of them cached. The prompt really has 14 tokens, so at
  // most 14 tokens can be cached.
  const token_usage told{frame + of_o200k + 100, 110, 0, 0};
  const auto found = audited(chat_request("gpt-4o"), told, saying(""));
  EXPECT_EQ(found.excess_tokens(), 100);
  // Reported: 4 fresh and 110 cached tokens. Correct: 14 cached tokens.
  EXPECT_EQ(excess_cost(found, told, price, {})->to_string(), "0.000104");
  EXPECT_EQ(excess_cost(audited(chat_request("gpt-4o"), {1, 0, 1, 0}, saying("")), {1, 0, 1, 0},
                        price, {}),
            usd{});
}

TEST(audit, reasoning_is_left_out_of_both_sides) {
  const auto found =
      audited(chat_request("o3-mini"), {14, 0, 500 + of_o200k, 500}, saying(nine_hanzi));
  EXPECT_EQ(found.prompt_gap, audit_gap::prompt_estimated);
  ASSERT_TRUE(found.completion);
  EXPECT_EQ(found.completion->reported, of_o200k);
  EXPECT_EQ(found.excess_tokens(), 0);
}

TEST(audit, every_choice_is_counted_and_may_have_an_end) {
  const std::string two = R"({"choices":[{"message":{"content":")" + nine_hanzi +
                          R"("}},{"message":{"content":")" + nine_hanzi + R"("}}]})";
  const auto found = audited(chat_request("gpt-4o"), {14, 0, 2 * of_o200k + 5, 0}, two);
  EXPECT_EQ(found.completion->counted, 2 * of_o200k + 2);
  EXPECT_EQ(found.completion->excess(), 3);
}

TEST(audit, the_other_endpoints) {
  request asked;
  asked.model = "davinci-002";
  asked.target = endpoint::completions;
  asked.body = R"({"model":"davinci-002","prompt":")" + nine_hanzi + R"("})";
  auto found = audited(asked, {of_cl100k, 0, of_cl100k, 0},
                       R"({"choices":[{"text":")" + nine_hanzi + R"(","index":0}]})");
  EXPECT_EQ(found.prompt->counted, of_cl100k);
  EXPECT_EQ(found.completion->counted, of_cl100k);

  asked.model = "text-embedding-3-small";
  asked.target = endpoint::embeddings;
  asked.body = R"({"input":[")" + nine_hanzi + R"(",")" + nine_hanzi + R"("]})";
  found = audited(asked, {2 * of_cl100k + 4, 0, 0, 0}, R"({"data":[]})");
  EXPECT_EQ(found.prompt->excess(), 4);
  EXPECT_FALSE(found.completion);
  EXPECT_EQ(found.completion_gap, audit_gap::none);

  asked.model = "gpt-4o";
  asked.target = endpoint::responses;
  asked.body = R"({"input":"hi"})";
  found = audited(asked, {8, 0, of_o200k + 11, 0},
                  R"({"output":[{"type":"message","content":[{"type":"output_text","text":")" +
                      nine_hanzi + R"("}]}]})");
  EXPECT_EQ(found.prompt_gap, audit_gap::prompt_estimated);
  EXPECT_EQ(found.completion->excess(), 10);
}

TEST(audit, prompts_that_cannot_be_counted) {
  const struct {
    const char* why;
    request asked;
    audit_gap expected;
  } rows[] = {
      {"a tokenizer that is not known", chat_request("deepseek-chat"),
       audit_gap::unknown_vocabulary},
      {"functions",
       chat_request("gpt-4o", R"(,"tools":[{"type":"function","function":{"name":"f"}}])"),
       audit_gap::prompt_estimated},
      {"an image",
       [] {
         request asked = chat_request("gpt-4o");
         asked.body =
             R"({"messages":[{"role":"user","content":[{"type":"text","text":"what is it"},)"
             R"({"type":"image_url","image_url":{"url":"https://x/y.png"}}]}]})";
         return asked;
       }(),
       audit_gap::prompt_not_text},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.why);
    const auto found = audited(row.asked, {1000, 0, 1000, 0}, saying("x"));
    EXPECT_FALSE(found.prompt);
    EXPECT_EQ(found.prompt_gap, row.expected);
  }
}

TEST(audit, replies_that_cannot_be_counted) {
  const struct {
    const char* why;
    std::string more;
    std::string reply;
    audit_gap expected;
  } rows[] = {
      {"a call of a function", "",
       chat_reply(R"({"content":null,"tool_calls":[{"id":"c","function":{"name":"f"}}]})"),
       audit_gap::completion_not_text},
      {"a character that was cut", "", saying("half \xEF\xBF\xBD"), audit_gap::completion_not_text},
      {"no choice", "", "{}", audit_gap::completion_not_text},
      {"what ended it is not shown", R"(,"stop":"END")", saying("x"),
       audit_gap::completion_not_shown},
      {"a prediction that was thrown away", R"(,"prediction":{"type":"content","content":"y"})",
       saying("x"), audit_gap::completion_not_shown},
      {"thoughts that are not told apart", "", saying("x", R"(,"reasoning_content":"hm")"),
       audit_gap::reasoning_not_told},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.why);
    const auto found = audited(chat_request("gpt-4o", row.more), {14, 0, 900, 0}, row.reply);
    EXPECT_FALSE(found.completion);
    EXPECT_EQ(found.completion_gap, row.expected);
  }
  const auto thinker = audited(chat_request("gpt-5"), {14, 0, 900, 0}, saying("x"));
  EXPECT_EQ(thinker.completion_gap, audit_gap::reasoning_not_told);
}

TEST(unread_cost, is_the_discount_and_the_writes_that_were_not_needed) {
  const price_table prices = price_table::built_in();
  const double when = 1'795'000'000;
  const auto cost = [&](const char* model, std::int64_t tokens, const token_usage& usage,
                        const std::string& tier = {}) {
    const auto more = unread_cost(tokens, usage, *prices.listed(model), {tier, when, when});
    return more ? more->to_string() : "unknown";
  };
  const token_usage plain{.prompt_tokens = 3000, .completion_tokens = 5};
  EXPECT_EQ(cost("gpt-4o", 2000, plain), "0.0025");
  EXPECT_EQ(cost("gpt-4o", 2000, plain, "priority"), "0.00425");
  EXPECT_EQ(cost("gpt-4o", 5000, plain), "0.00375") << "no more than there are";
  EXPECT_EQ(cost("gpt-4o", 0, plain), "0");
  EXPECT_EQ(cost("gpt-4-1106-preview", 2000, plain), "0");
  EXPECT_EQ(cost("gpt-4o", 2000, plain, "turbo"), "unknown");
  // 1500 tokens were written to the cache at $3.75 per million instead of read at $0.30, and 500
  // plain tokens cost $3 per million.
  const token_usage written{
      .prompt_tokens = 3000, .completion_tokens = 5, .cache_write_tokens = 1500};
  EXPECT_EQ(cost("claude-sonnet-4-5", 2000, written), "0.006525");
  const token_usage spoken{
      .prompt_tokens = 3000, .completion_tokens = 5, .audio_prompt_tokens = 2900};
  EXPECT_EQ(cost("gpt-4o-audio-preview", 2000, spoken), "0");
}

}  // namespace
}  // namespace sluice
