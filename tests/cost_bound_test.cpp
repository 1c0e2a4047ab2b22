#include "cost_bound.hpp"

#include <gmock/gmock.h>

#include <string>

#include "job_line.hpp"
#include "token_count.hpp"

namespace sluice {
namespace {

using testing::HasSubstr;

request asked(const std::string& url, const std::string& body) {
  job_options options;
  options.stream = false;
  const auto told = parse_job_line(
      R"({"custom_id":"a","method":"POST","url":")" + url + R"(","body":)" + body + "}", 1,
      options);
  if (!told) {
    ADD_FAILURE() << body << ": " << told.error().message;
    return {};
  }
  return *told;
}

const std::string chat = "/v1/chat/completions";
const std::string completions = "/v1/completions";
const std::string responses = "/v1/responses";
const std::string embeddings = "/v1/embeddings";

TEST(cost_bound, a_prompt_has_no_more_tokens_than_bytes_and_a_reply_no_more_than_its_limit) {
  const struct {
    const char* what;
    std::string url;
    std::string body;
    std::int64_t completion;
  } rows[] = {
      {"the body's own limit", chat, R"({"model":"m","messages":[],"max_tokens":7})", 7},
      {"its newer name", chat, R"({"model":"m","messages":[],"max_completion_tokens":8})", 8},
      {"of both, the larger: the relay may take either", chat,
       R"({"model":"m","messages":[],"max_completion_tokens":8,"max_tokens":9})", 9},
      {"for every choice", chat, R"({"model":"m","messages":[],"max_tokens":7,"n":3})", 21},
      {"for every prompt and choice", completions,
       R"({"model":"m","prompt":["a","b"],"max_tokens":7,"n":3})", 42},
      {"for every candidate that is never shown", completions,
       R"({"model":"m","prompt":"a","max_tokens":7,"best_of":5})", 35},
      {"of a response", responses, R"({"model":"m","input":"a","max_output_tokens":11})", 11},
      {"of the model, where the body has none", chat, R"({"model":"m","messages":[]})", 1000},
      {"of the model, where the body's is no number", chat,
       R"({"model":"m","messages":[],"max_tokens":null})", 1000},
      {"none for embeddings", embeddings, R"({"model":"m","input":["a","b"]})", 0},
  };
  for (const auto& row : rows) {
    const request one = asked(row.url, row.body);
    const auto bound = bound_tokens(one, 1000, 50);
    ASSERT_TRUE(bound) << row.what << ": " << bound.error();
    EXPECT_EQ(bound->completion, row.completion) << row.what;
    EXPECT_EQ(bound->prompt, static_cast<std::int64_t>(one.body.size())) << row.what;
  }
}

TEST(cost_bound, a_prompt_whose_tokens_can_be_counted_is_bounded_by_them) {
  if (tokenizer::of(vocabulary::o200k_base) == nullptr) GTEST_SKIP() << "no vocabularies";
  const std::string words = "several words that are fewer tokens than bytes";
  const auto bound = [](const std::string& url, const std::string& body) {
    return bound_prompt(asked(url, body));
  };
  const auto tokens = [](const std::string& text) {
    return static_cast<std::int64_t>(completion_tokens("gpt-4o", text).tokens);
  };
  const std::string messages = R"("messages":[{"role":"user","content":")" + words + "\"}]";
  const std::string plain = R"({"model":"gpt-4o",)" + messages + R"(,"max_tokens":7,"n":2})";
  EXPECT_EQ(bound(chat, plain), tokens(words) + 7 + 1 + 8) << "its count, and the margin";
  const std::string extra = R"("documents":["something that a relay may put into the prompt"])";
  EXPECT_EQ(bound(chat, "{" + extra + R"(,"model":"gpt-4o",)" + messages + "}"),
            tokens(words) + 7 + 1 + 8 + static_cast<std::int64_t>(extra.size()));
  EXPECT_EQ(bound(chat, "{" + messages + R"(,"model":"gpt-4o",)" + messages + "}"),
            tokens(words) + 7 + 1 + 8 + static_cast<std::int64_t>(messages.size()))
      << "which of the two a relay takes is not known";
  EXPECT_EQ(bound(completions, R"({"model":"davinci-002","prompt":["a a a a a a a a a","b"]})"),
            10 + 2 + 8);
  for (const char* model : {"o3", "claude-3-opus"}) {
    const request one = asked(chat, R"({"model":")" + std::string(model) + "\"," + messages + "}");
    EXPECT_EQ(bound_prompt(one), static_cast<std::int64_t>(one.body.size())) << model;
  }
  const request tools =
      asked(chat, R"({"model":"gpt-4o","tools":[{"type":"function","function":{"name":"f"}}],)" +
                      messages + "}");
  EXPECT_EQ(bound_prompt(tools), static_cast<std::int64_t>(tools.body.size()));
}

// A relay may read what we cannot, and what it reads bounds its bill.
TEST(cost_bound, a_limit_that_is_no_plain_whole_number_is_refused_by_name) {
  for (const std::string value :
       {"4096.0", "4e3", "\"4096\"", "0", "-1", "true", "[7]", "99999999999999999999", "\"\""}) {
    const struct {
      std::string url;
      std::string rest;
      std::string named;
    } rows[] = {
        {chat, R"("messages":[])", "max_tokens"},
        {chat, R"("messages":[],"max_tokens":7)", "max_completion_tokens"},
        {chat, R"("messages":[],"max_completion_tokens":7)", "max_tokens"},
        {completions, R"("prompt":"a")", "max_tokens"},
        {responses, R"("input":"a")", "max_output_tokens"},
        {chat, R"("messages":[],"max_tokens":7)", "n"},
        {completions, R"("prompt":"a","max_tokens":7)", "n"},
        {completions, R"("prompt":"a","max_tokens":7)", "best_of"},
    };
    for (const auto& [url, rest, named] : rows) {
      const std::string body = R"({"model":"m",)" + rest + ",\"" + named + "\":" + value + "}";
      const auto told = bound_tokens(asked(url, body), 1000, 50);
      ASSERT_FALSE(told) << body;
      EXPECT_THAT(told.error(), HasSubstr(named)) << body;
    }
  }
  for (const char* body : {R"({"model":"m","messages":[],"max_tokens":null,"n":null})",
                           R"({"model":"m","messages":[],"max_tokens":7,"best_of":null})"}) {
    EXPECT_TRUE(bound_tokens(asked(chat, body), 1000, 50)) << body;
  }
}

TEST(cost_bound, more_choices_than_can_be_counted_are_refused) {
  for (const char* body : {R"({"model":"m","prompt":["a","b"],"max_tokens":1,"n":4294967295})",
                           R"({"model":"m","prompt":["a","b"],"max_tokens":1,"n":2147483649})",
                           R"({"model":"m","prompt":"a","max_tokens":1,"n":4294967297})"}) {
    EXPECT_FALSE(bound_tokens(asked(completions, body), {}, {})) << body;
  }
}

TEST(cost_bound, predicted_text_may_be_billed_beside_the_limit) {
  const request one = asked(
      chat,
      R"({"model":"m","messages":[],"max_tokens":7,"prediction":{"type":"content","content":"abc"}})");
  EXPECT_EQ(bound_tokens(one, {}, {})->completion, 7 + static_cast<std::int64_t>(one.body.size()));
}

TEST(cost_bound, what_is_assumed_holds_where_nothing_else_does) {
  const request one = asked(chat, R"({"model":"m","messages":[]})");
  EXPECT_EQ(bound_tokens(one, {}, 50)->completion, 50);
  EXPECT_EQ(bound_tokens(one, 1000, 50)->completion, 1000);
  const auto none = bound_tokens(one, {}, {});
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error(), HasSubstr("how long"));
}

TEST(cost_bound, costs_at_the_dearest_prices) {
  const token_price price{*usd::parse("0.001"), *usd::parse("0.002"), *usd::parse("0.01")};
  EXPECT_EQ((token_bound{100, 10}.cost(price)).to_string(), "0.3");
}

TEST(cost_bound, text_parts_and_functions_are_bounded) {
  for (
      const char* body :
      {R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"image_url"}]}]})",
       R"({"model":"m","messages":[{"role":"user","content":"{\"type\":\"image_url\"}"}]})",
       R"({"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"image_url"}}}]})",
       R"({"model":"m","messages":[{"role":"assistant","content":null,"tool_calls":[{"type":"function","id":"x"}]}]})"}) {
    EXPECT_TRUE(bound_tokens(asked(chat, body), 10, {})) << body;
  }
  for (
      const char* body :
      {R"({"model":"m","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"a"}]}]})",
       R"({"model":"m","input":[{"type":"function_call_output","call_id":"x","output":"a"}]})",
       R"({"model":"m","input":"a","tools":[],"previous_response_id":null})"}) {
    EXPECT_TRUE(bound_tokens(asked(responses, body), 10, {})) << body;
  }
}

TEST(cost_bound, what_bytes_do_not_bound_is_refused_by_name) {
  const struct {
    std::string url;
    const char* body;
    const char* named;
  } rows[] = {
      {chat,
       R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"https://x"}}]}]})",
       "image_url"},
      {chat,
       R"({"model":"m","messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}]})",
       "input_audio"},
      {chat, R"({"model":"m","messages":[{"role":"assistant","audio":{"id":"a"}}]})", "audio"},
      {chat, R"({"model":"m","messages":[],"modalities":["text","audio"],"audio":{"voice":"x"}})",
       "audio"},
      {chat, R"({"model":"m","messages":[],"web_search_options":{"a":1}})", "web_search_options"},
      {responses, R"({"model":"m","input":"a","previous_response_id":"resp_1"})",
       "previous_response_id"},
      {responses, R"({"model":"m","input":"a","prompt":{"id":"pmpt_1"}})", "prompt"},
      {responses, R"({"model":"m","input":"a","tools":[{"type":"web_search"}]})", "web_search"},
      {responses, R"({"model":"m","input":[{"type":"item_reference","id":"a"}]})",
       "item_reference"},
      {responses,
       R"({"model":"m","input":[{"role":"user","content":[{"type":"input_image","image_url":"x"}]}]})",
       "input_image"},
  };
  for (const auto& row : rows) {
    const auto told = bound_tokens(asked(row.url, row.body), 10, {});
    ASSERT_FALSE(told) << row.body;
    EXPECT_THAT(told.error(), HasSubstr(row.named)) << row.body;
  }
}

}  // namespace
}  // namespace sluice
