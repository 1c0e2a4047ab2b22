#include "money/cost_bound.hpp"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "jobs/job_line.hpp"
#include "tokens/prompt_tokens.hpp"

namespace sluice {
namespace {

using namespace std::string_literals;
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
    const auto bound = bound_tokens(one, one.model, 1000, 50);
    ASSERT_TRUE(bound) << row.what << ": " << bound.error();
    EXPECT_EQ(bound->completion, row.completion) << row.what;
    EXPECT_EQ(bound->prompt, static_cast<std::int64_t>(one.body.size())) << row.what;
  }
}

TEST(cost_bound, a_prompt_whose_tokens_can_be_counted_is_bounded_by_them) {
  if (tokenizer::of(vocabulary::o200k_base) == nullptr) GTEST_SKIP() << "no vocabularies";
  const std::string words = "several words that are fewer tokens than bytes";
  const auto bound = [](const std::string& url, const std::string& body) {
    const request one = asked(url, body);
    return bound_prompt(one, static_cast<std::int64_t>(one.body.size()));
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
    EXPECT_EQ(bound_prompt(one, 12345), 12345) << model;
  }
  const request tools =
      asked(chat, R"({"model":"gpt-4o","tools":[{"type":"function","function":{"name":"f"}}],)" +
                      messages + "}");
  EXPECT_EQ(bound_prompt(tools, 12345), 12345);
}

// A relay may accept a value that we cannot read, and the value that the relay reads determines its
// bill.
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
      const auto told = bound_tokens(asked(url, body), "m", 1000, 50);
      ASSERT_FALSE(told) << body;
      EXPECT_THAT(told.error(), HasSubstr(named)) << body;
    }
  }
  for (const char* body : {R"({"model":"m","messages":[],"max_tokens":null,"n":null})",
                           R"({"model":"m","messages":[],"max_tokens":7,"best_of":null})"}) {
    EXPECT_TRUE(bound_tokens(asked(chat, body), "m", 1000, 50)) << body;
  }
}

TEST(cost_bound, more_choices_than_can_be_counted_are_refused) {
  for (const char* body : {R"({"model":"m","prompt":["a","b"],"max_tokens":1,"n":4294967295})",
                           R"({"model":"m","prompt":["a","b"],"max_tokens":1,"n":2147483649})",
                           R"({"model":"m","prompt":"a","max_tokens":1,"n":4294967297})"}) {
    EXPECT_FALSE(bound_tokens(asked(completions, body), "m", {}, {})) << body;
  }
}

TEST(cost_bound, predicted_text_may_be_billed_beside_the_limit) {
  const request one = asked(
      chat,
      R"({"model":"m","messages":[],"max_tokens":7,"prediction":{"type":"content","content":"abc"}})");
  EXPECT_EQ(bound_tokens(one, "m", {}, {})->completion,
            7 + static_cast<std::int64_t>(one.body.size()));
}

TEST(cost_bound, what_is_assumed_holds_where_nothing_else_does) {
  const request one = asked(chat, R"({"model":"m","messages":[]})");
  EXPECT_EQ(bound_tokens(one, "m", {}, 50)->completion, 50);
  EXPECT_EQ(bound_tokens(one, "m", 1000, 50)->completion, 1000);
  const auto none = bound_tokens(one, "m", {}, {});
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error(), HasSubstr("how long"));
}

TEST(cost_bound, costs_at_the_dearest_prices) {
  const model_prices::bound price{*usd::parse("0.002"), *usd::parse("0.01")};
  EXPECT_EQ((token_bound{100, 10}.cost(price)).to_string(), "0.3");
}

// Prices that depend on the tier. Each rate is in USD per million tokens.
relay_prices tiered() {
  price_table table;
  table.merge(R"({"format":2,"models":{
    "m":{"input":"10","output":"100","max_output":1,"tiers":{
      "flex":{"input":"5","output":"50"},"priority":{"input":"20","output":"200"},
      "ultrafast":{"input":"60","output":"600"}}},
    "plain":{"input":"10","output":"100","max_output":1}}})",
              "the test");
  return relay_prices(std::move(table));
}

TEST(cost_bound, the_dearest_tier_that_the_body_may_ask_for_counts) {
  const relay_prices prices = tiered();
  const struct {
    const char* what;
    const char* member;
    const char* account;
    const char* output;  // USD per million tokens
  } rows[] = {
      {"none: the account's own, which may be priority", "", "", "200"},
      {"left to the account", R"("service_tier":"auto",)", "", "200"},
      {"null is none", R"("service_tier":null,)", "", "200"},
      {"an account that is known to use the standard tier", "", "standard", "100"},
      {"an account with flex: a relay may serve the standard tier", "", "flex", "100"},
      {"the standard tier", R"("service_tier":"default",)", "priority", "100"},
      {"flex, or a relay that ignores it", R"("service_tier":"flex",)", "", "100"},
      {"priority", R"("service_tier":"priority",)", "standard", "200"},
      {"OpenAI's other name for it", R"("service_tier":"fast",)", "standard", "200"},
      {"only where it is asked for", R"("service_tier":"ultrafast",)", "", "600"},
      {"twice: the dearer", R"("service_tier":"ultrafast","service_tier":"flex",)", "", "600"},
      {"a name that some readers miss", R"("Service_Tier":"flex",)", "", "200"},
      {"a name that some readers take", R"("Service_Tier":"ultrafast",)", "", "600"},
  };
  for (const auto& row : rows) {
    const request one =
        asked(chat, std::string("{") + row.member + R"("model":"m","messages":[]})");
    const auto bound = bound_cost(one, prices, std::nullopt, {.tier = row.account});
    ASSERT_TRUE(bound) << row.what << ": " << bound.error().why;
    EXPECT_EQ((bound->rates.completion * 1'000'000).to_string(), row.output) << row.what;
  }
  const request plain = asked(chat, R"({"model":"plain","messages":[]})");
  EXPECT_EQ((bound_cost(plain, prices, std::nullopt, {})->rates.completion * 1'000'000).to_string(),
            "100")
      << "a model without a priority tier";
}

TEST(cost_bound, a_tier_without_a_price_has_no_bound) {
  const relay_prices prices = tiered();
  for (const char* body :
       {R"({"model":"plain","messages":[],"service_tier":"flex"})",
        R"({"model":"m","messages":[],"service_tier":"turbo"})",
        R"({"model":"m","messages":[],"service_tier":"turbo","service_tier":"flex"})",
        R"({"model":"m","messages":[],"Service_Tier":"turbo"})",
        R"({"model":"m","messages":[],"service_tier":["flex"]})"}) {
    const auto bound = bound_cost(asked(chat, body), prices, std::nullopt, {});
    ASSERT_FALSE(bound) << body;
    EXPECT_THAT(bound.error().why, HasSubstr("service_tier")) << body;
  }
}

TEST(cost_bound, a_tier_that_the_account_may_use_is_not_left_out) {
  price_table table;
  table.merge(R"({"format":2,"models":{"m":{"input":"10","output":"100","max_output":1,"tiers":{
    "priority":{"input":"20"}}}}})",
              "the test");
  const relay_prices prices(std::move(table));
  const auto bound = [&](const char* member, const char* account) {
    const request one = asked(chat, std::string("{") + member + R"("model":"m","messages":[]})");
    return bound_cost(one, prices, std::nullopt, {.tier = account});
  };
  for (const char* member : {"", R"("service_tier":"auto",)"}) {
    const auto open = bound(member, "");
    ASSERT_FALSE(open) << member;
    EXPECT_THAT(open.error().why, HasSubstr("--tier-default")) << member;
    EXPECT_TRUE(bound(member, "standard")) << member;
    EXPECT_FALSE(bound(member, "priority")) << member;
  }
  EXPECT_TRUE(bound(R"("service_tier":"default",)", ""));
}

TEST(cost_bound, a_model_that_searches_by_itself_is_refused) {
  const relay_prices prices(price_table::built_in());
  for (const char* model :
       {"gpt-4o-search-preview", "openai/gpt-4o-mini-search-preview-2025-03-11", "gpt-5-search-api",
        "o3-deep-research", "o4-mini-deep-research-2025-06-26"}) {
    const request one =
        asked(chat, std::string(R"({"max_tokens":5,"messages":[],"model":")") + model + "\"}");
    const auto bound = bound_cost(one, prices, std::nullopt, {});
    ASSERT_FALSE(bound) << model;
    EXPECT_THAT(bound.error().why, testing::AllOf(HasSubstr("search"), HasSubstr(model)));
  }
}

TEST(cost_bound, the_region_of_the_account_counts) {
  const relay_prices prices(price_table::built_in());
  const request one = asked(chat, R"({"max_tokens":5,"messages":[],"model":"claude-opus-4-8"})");
  const auto bound = bound_cost(one, prices, std::nullopt, {});
  ASSERT_TRUE(bound);
  EXPECT_EQ((bound->rates.prompt * 1'000'000).to_string(), "11");  // a write for an hour in the US
  EXPECT_EQ((bound->rates.completion * 1'000'000).to_string(), "27.5");
}

TEST(cost_bound, the_advice_removes_the_cause) {
  price_table table;
  table.merge(R"({"m":{"input":"10","output":"100"}})", "the test");
  const relay_prices prices(std::move(table));
  const std::pair<const char*, const char*> rows[] = {
      {R"({"model":"m","messages":[]})", "--budget, give it max_tokens as a whole number, or a"},
      {R"({"model":"m","messages":[],"max_tokens":1.5})", "--budget, write it as a whole number"},
      {R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"image_url"}]}]})",
       "--budget, leave that out, or run such requests without it"},
      {R"({"model":"m","max_tokens":9,"messages":[],"web_search_options":{"a":1}})",
       "leave that out"}};
  for (const auto& [body, advice] : rows) {
    const auto bound = bound_cost(asked(chat, body), prices, std::nullopt, {});
    ASSERT_FALSE(bound) << body;
    EXPECT_THAT(bound.error().why, HasSubstr(advice)) << body;
  }
}

TEST(cost_bound, text_parts_and_functions_are_bounded) {
  for (
      const char* body :
      {R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"image_url"}]}]})",
       R"({"model":"m","messages":[{"role":"user","content":"{\"type\":\"image_url\"}"}]})",
       R"({"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"image_url"}}}]})",
       R"({"model":"m","messages":[{"role":"assistant","content":null,"tool_calls":[{"type":"function","id":"x"}]}]})"}) {
    EXPECT_TRUE(bound_tokens(asked(chat, body), "m", 10, {})) << body;
  }
  for (
      const char* body :
      {R"({"model":"m","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"a"}]}]})",
       R"({"model":"m","input":[{"type":"function_call_output","call_id":"x","output":"a"}]})",
       R"({"model":"m","input":"a","tools":[],"previous_response_id":null})"}) {
    EXPECT_TRUE(bound_tokens(asked(responses, body), "m", 10, {})) << body;
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
    const auto told = bound_tokens(asked(row.url, row.body), "m", 10, {});
    ASSERT_FALSE(told) << row.body;
    EXPECT_THAT(told.error(), HasSubstr(row.named)) << row.body;
  }
}

// Relays differ in which of two members with the same name they use. Relays in Go accept names in
// any case.
TEST(cost_bound, the_dearest_reading_of_a_limit_holds) {
  const struct {
    const char* what;
    std::string url;
    std::string rest;
    std::int64_t completion;  // 1000 is the model's own limit
  } rows[] = {
      {"the first of two", chat, R"("max_tokens":400,"max_tokens":1)", 400},
      {"the last of two", chat, R"("max_tokens":1,"max_tokens":400)", 400},
      {"one between smaller ones", chat, R"("max_tokens":1,"max_tokens":400,"max_tokens":2)", 400},
      {"by an escaped name", chat, R"("max_tok\u0065ns":400,"max_tokens":1)", 400},
      {"in capitals", chat, R"("Max_Tokens":400,"max_tokens":1)", 400},
      {"in capitals behind", chat, R"("max_tokens":1,"MAX_TOKENS":400)", 400},
      {"in escaped capitals", chat, R"("max_tokens":1,"\u004dax_Tokens":400)", 400},
      {"with the sign of Kelvin, which folds into k", chat,
       "\"max_tokens\":1,\"max_to\u212Aens\":400", 400},
      {"with a long s", chat, "\"max_tokens\":1,\"max_token\u017F\":400", 400},
      {"with a long s in an escape", chat, R"("max_tokens":1,"max_token\u017f":400)", 400},
      {"of the newer name, too", chat, R"("max_completion_tokens":400,"Max_Completion_Tokens":1)",
       400},
      {"null may be read as none", chat, R"("max_tokens":null,"max_tokens":1)", 1000},
      {"behind, too", chat, R"("max_tokens":1,"max_tokens":null)", 1000},
      {"and in capitals", chat, R"("max_tokens":1,"Max_Tokens":null)", 1000},
      {"but not where the other name holds", chat,
       R"("max_tokens":1,"max_tokens":null,"max_completion_tokens":7)", 7},
      {"a name in capitals alone may be read as none", chat, R"("Max_Tokens":1)", 1000},
      {"or be larger than the model's", chat, R"("Max_Tokens":4000)", 4000},
      {"choices, the first of two", chat, R"("max_tokens":10,"n":19,"n":1)", 190},
      {"choices, the last of two", chat, R"("max_tokens":10,"n":1,"n":19)", 190},
      {"choices in capitals", chat, R"("max_tokens":10,"N":19)", 190},
      {"choices in capitals and not", chat, R"("max_tokens":10,"n":1,"N":19)", 190},
      {"candidates", completions, R"("prompt":"x","max_tokens":10,"best_of":19,"Best_Of":1)", 190},
      {"prompts", completions, R"("prompt":["a","b","c"],"max_tokens":10,"prompt":"x")", 30},
      {"prompts in capitals", completions, R"("prompt":"x","max_tokens":10,"Prompt":["a","b"])",
       20},
      {"of a response", responses, R"("input":"x","max_output_tokens":9,"Max_Output_Tokens":10)",
       10},
  };
  for (const auto& row : rows) {
    const request one = asked(row.url, R"({"model":"m",)" +
                                           (row.url == chat ? R"("messages":[],)" : std::string()) +
                                           row.rest + "}");
    const auto bound = bound_tokens(one, "m", 1000, 50);
    ASSERT_TRUE(bound) << row.what << ": " << bound.error();
    EXPECT_EQ(bound->completion, row.completion) << row.what;
  }
  const auto open =
      bound_tokens(asked(chat, R"({"model":"m","messages":[],"Max_Tokens":1})"), "m", {}, {});
  ASSERT_FALSE(open);
  EXPECT_THAT(open.error(), HasSubstr("how long"));
}

TEST(cost_bound, what_any_reading_makes_unbounded_is_refused_by_name) {
  const std::string user = R"({"model":"m","max_tokens":5,"messages":[{"role":"user",)";
  const std::string audio = R"([{"type":"input_audio","input_audio":{}}])";
  const std::string text = R"([{"type":"text","text":"a"}])";
  const struct {
    std::string url;
    std::string body;
    const char* named;
  } rows[] = {
      {chat, user + R"("content":)" + audio + R"(,"content":)" + text + "}]}", "input_audio"},
      {chat, user + R"("content":)" + text + R"(,"Content":)" + audio + "}]}", "input_audio"},
      {chat, user + R"("content":[{"type":"input_audio","type":"text","text":"a"}]}]})",
       "input_audio"},
      {chat, user + R"("content":[{"type":"text","text":"a","TYPE":"input_audio"}]}]})",
       "input_audio"},
      {chat, user + R"("content":[{"type":"image_url","image_url":{},"type":"text"}]}]})", "image"},
      {chat,
       user + R"("content":"a"}],"messages":[{"content":"b"}],"Messages":[{"content":)" + audio +
           "}]}",
       "input_audio"},
      {chat, user + R"("content":{"type":"input_audio","input_audio":{}}}]})", "input_audio"},
      {chat, R"({"model":"m","messages":[],"max_tokens":5,"Max_Tokens":"400"})", "max_tokens"},
      {chat, R"({"model":"m","messages":[],"max_tokens":4e3,"max_tokens":5})", "max_tokens"},
      {chat, R"({"model":"m","messages":[],"max_tokens":5,"N":19.0})", "n that"},
      {chat, R"({"model":"m","messages":[],"max_tokens":5,"Web_Search_Options":{"a":1}})",
       "web_search_options"},
      {responses,
       R"({"model":"m","max_output_tokens":5,"tools":[{"type":"web_search"}],"input":"a","tools":[]})",
       "web_search"},
      {responses,
       R"({"model":"m","max_output_tokens":5,"tools":[{"type":"web_search","type":"function"}],"input":"a"})",
       "web_search"},
      {responses,
       R"({"model":"m","max_output_tokens":5,"input":"a","previous_response_id":"r","previous_response_id":null})",
       "previous_response_id"},
      {chat, R"({"model":"m","messages":[],"max_tokens":5,"models":["gpt-4"]})", "models"},
      {chat, R"({"model":"m","messages":[],"max_tokens":5,"plugins":[{"id":"web"}]})", "plugins"},
      {chat, R"({"model":"m","messages":[],"max_tokens":5,"Speed":"fast"})", "speed"},
      {chat, R"({"model":"m","messages":[],"max_tokens":5,"enable_search":true})", "enable_search"},
      {chat, R"({"model":"m","messages":[],"max_tokens":5,"data_sources":[{"type":"a"}]})",
       "data_sources"},
      {chat, R"({"model":"m","messages":[],"max_tokens":5,"search_parameters":{"mode":"auto"}})",
       "search_parameters"},
      {chat,
       R"({"model":"m","messages":[],"max_tokens":5,"search_parameters":{"mode":"off","mode":"on"}})",
       "search_parameters"},
      {chat, R"({"model":"m","messages":[],"max_tokens":5,"web_search_options":{"mode":"off"}})",
       "web_search_options"},
      {chat, R"({"model":"m","messages":[],"max_tokens":5,"preset":"p"})", "preset"},
      {chat, R"({"model":"m","messages":[],"max_tokens":5,"modalities":["text","image"]})",
       "image"},
      {embeddings, R"({"model":"m","input":[{"image":"https://x"}]})", "input"},
      {embeddings, R"({"model":"m","input":"a","Input":{"image":"https://x"}})", "input"},
  };
  for (const auto& row : rows) {
    const auto told = bound_tokens(asked(row.url, row.body), "m", 1000, 50);
    ASSERT_FALSE(told) << row.body;
    EXPECT_THAT(told.error(), HasSubstr(row.named)) << row.body;
  }
  for (
      const char* body :
      {R"({"model":"m","messages":[{"role":"assistant","content":"a","audio":null}],"max_tokens":5})",
       R"({"model":"m","messages":[],"max_tokens":5,"modalities":["text"],"models":[]})",
       R"({"model":"m","messages":[],"max_tokens":5,"enable_search":false,"web_search_options":false})",
       R"({"model":"m","messages":[],"max_tokens":5,"search_options":{"a":1}})",
       R"({"model":"m","messages":[],"max_tokens":5,"search_parameters":{"mode":"off"}})",
       R"({"model":"m","messages":[{"role":"user","content":"a","content":"b"}],"max_tokens":5})"}) {
    EXPECT_TRUE(bound_tokens(asked(chat, body), "m", {}, {})) << body;
  }
}

TEST(cost_bound, the_models_that_a_body_may_be_read_to_name) {
  const auto models = [](const std::string& members) {
    return named_models(asked(chat, R"({"messages":[],)" + members + "}"));
  };
  using names = std::vector<std::string>;
  EXPECT_EQ(models(R"("model":"a")"), names({"a"}));
  EXPECT_EQ(models(R"("model":"a","model":"b")"), names({"b", "a"}));
  EXPECT_EQ(models(R"("model":"a","model":"a")"), names({"a"}));
  EXPECT_EQ(models(R"("model":"a","Model":"b","\u006dODEL":"c")"), names({"a", "b", "c"}));
  EXPECT_EQ(models(R"("model":"a","Model":null,"model":"b","MODEL":5)"), names({"b", "a"}));
  std::string many = R"("model":"m")";
  for (int i = 0; i < 20; ++i) many += ",\"Model\":\"" + std::to_string(i) + "\"";
  const request one = asked(chat, R"({"messages":[],"max_tokens":5,)" + many + "}");
  EXPECT_LT(named_models(one).size(), 20U);
  EXPECT_FALSE(bound_tokens(one, "m", 5, 5));
}

TEST(cost_bound, a_prompt_that_may_be_read_otherwise_is_bounded_by_its_bytes) {
  if (tokenizer::of(vocabulary::o200k_base) == nullptr) GTEST_SKIP() << "no vocabularies";
  const std::string long_text(1000, 'x');
  const std::string head = R"({"model":"gpt-4o","messages":[{"role":"user",)";
  for (const std::string& body :
       {head + R"("content":")" + long_text + R"(","content":"b"}]})",
        head + R"("content":"b","Content":")" + long_text + R"("}]})",
        head + R"("content":"b","c\u006fntent":")" + long_text + R"("}]})",
        head + R"("content":[{"type":"text","text":")" + long_text + R"(","text":"b"}]}]})",
        head + R"("content":[{"type":"text","text":"b","Text":")" + long_text + R"("}]}]})",
        R"({"model":"gpt-4","messages":[{"role":"user","content":"b"}],"model":"gpt-4o"})"s}) {
    EXPECT_EQ(bound_prompt(asked(chat, body), 12345), 12345) << body;
  }
  EXPECT_LT(bound_prompt(asked(chat, head + R"("content":[{"type":"text","text":"b"}]}]})"), 12345),
            30);
  for (const std::string& body :
       {R"({"model":"gpt-4o","messages":[],"Messages":[")" + long_text + "\"]}",
        R"({"model":"gpt-4o","messages":[")" + long_text + R"("],"messages":[]})"}) {
    EXPECT_GT(bound_prompt(asked(chat, body), 12345), 1000) << body;
  }
}

TEST(cost_bound, images_are_bounded_by_the_rule_of_their_model) {
  const std::string url(5000, 'A');
  const auto of_chat = [&](const std::string& rest) {
    return asked(chat,
                 R"({"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":)"
                 R"("text","text":"a"},)" +
                     rest + "]}]}");
  };
  const request high = of_chat(R"({"type":"image_url","image_url":{"url":")" + url + "\"}}");
  const request low =
      of_chat(R"({"type":"image_url","image_url":{"url":")" + url + R"(","detail":"low"}})");
  const request response = asked(
      responses, R"({"model":"m","max_output_tokens":5,"input":[{"role":"user","content":[{"type":)"
                 R"("input_image","detail":"low","image_url":")" +
                     url + "\"}]}]}");
  const auto bytes = [&](const request& one) {
    return static_cast<std::int64_t>(one.body.size() - url.size() - 2);
  };
  EXPECT_EQ(bound_tokens(high, "gpt-4o", {}, {})->prompt, bytes(high) + 85 + 8 * 170);
  EXPECT_EQ(bound_tokens(high, "gpt-4o-mini", {}, {})->prompt, bytes(high) + 2833 + 8 * 5667);
  EXPECT_EQ(bound_tokens(low, "gpt-4o-mini", {}, {})->prompt, bytes(low) + 2833);
  EXPECT_EQ(bound_tokens(low, "gpt-4.1-mini", {}, {})->prompt, bytes(low) + 2489);
  EXPECT_EQ(bound_tokens(response, "gpt-4o", {}, {})->prompt, bytes(response) + 85);
  EXPECT_EQ(bound_prompt(high, 777), 777);

  // If a relay may read another value, the detail does not count as low. Its bytes may also count
  // as text.
  for (const std::string& rest :
       {R"({"type":"image_url","image_url":{"url":"x","detail":"low","detail":"high"}})"s,
        R"({"type":"image_url","image_url":{"url":"x","detail":"low","Detail":"high"}})"s,
        R"({"type":"image_url","image_url":{"url":"x","detail":"low"},"Image_Url":{"url":"x"}})"s,
        R"({"type":"image_url","detail":"low","image_url":{"url":"x"}})"s,
        R"({"type":"image_url","image_url":{"url":"x","Detail":"low"}})"s}) {
    EXPECT_GT(bound_tokens(of_chat(rest), "gpt-4o", {}, {})->prompt, 85 + 8 * 170) << rest;
  }
  const request either = of_chat(
      R"({"type":"image_url","type":"text","text":"b","image_url":{"url":")" + url + "\"}}");
  EXPECT_GT(bound_tokens(either, "gpt-4o", {}, {})->prompt, 5000);
  EXPECT_EQ(bound_tokens(high, "claude-opus-4-8", {}, {})->prompt, bytes(high) + 4784);
  EXPECT_EQ(bound_tokens(high, "gemini-3.5-flash", {}, {})->prompt, bytes(high) + 2240);
  for (const char* model : {"", "m", "gpt-4", "gpt-5.4-mini"}) {
    const auto told = bound_tokens(high, model, {}, {});
    ASSERT_FALSE(told) << model;
    EXPECT_THAT(told.error(), HasSubstr("image"));
    EXPECT_THAT(told.error(), HasSubstr(model));
  }
}

}  // namespace
}  // namespace sluice
