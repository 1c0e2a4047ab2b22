#include "money/relay_pricing.hpp"

#include <gmock/gmock.h>

#include <string>

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr endpoint chat = endpoint::chat_completions;

constexpr const char* older = R"({"success":true,"data":[
  {"model_name":"gpt-4-1106-preview","quota_type":0,"model_ratio":5,"model_price":0,"owner_by":"",
   "completion_ratio":3,"enable_groups":["default","vip"]},
  {"model_name":"gpt-4o","quota_type":0,"model_ratio":1.25,"model_price":0,"owner_by":"",
   "completion_ratio":4},
  {"model_name":"mj_imagine","quota_type":1,"model_ratio":0,"model_price":0.1,"owner_by":"",
   "completion_ratio":0,"enable_groups":["default"]},
  {"model_name":"o3","quota_type":0,"model_ratio":1,"model_price":0,"owner_by":"",
   "completion_ratio":4,"enable_groups":["vip"]}],
  "group_ratio":{"default":1,"vip":0.30000000000000004},"usable_group":{"default":"all","vip":"paid"}})";

constexpr const char* newer = R"({"auto_groups":["default"],"data":[
  {"model_name":"claude-sonnet-4-5","vendor_id":2,"quota_type":0,"model_ratio":1.5,"model_price":0,
   "owner_by":"","completion_ratio":5,"cache_ratio":0.1,"create_cache_ratio":1.25,
   "enable_groups":["all"],"supported_endpoint_types":["anthropic","openai"]},
  {"model_name":"gpt-5.4","quota_type":0,"model_ratio":37.5,"model_price":0,"completion_ratio":1,
   "enable_groups":["default"],"billing_mode":"tiered_expr","billing_expr":"p*2.5+c*15"},
  {"model_name":"free","quota_type":0,"model_ratio":0,"completion_ratio":1,"enable_groups":[]},
  {"model_name":"embed","quota_type":0,"model_ratio":0.01,"enable_groups":null}],
  "group_ratio":{"default":0.8},"pricing_version":"a4","success":true,"usable_group":{"default":"x"},
  "vendors":[{"id":2,"name":"Anthropic"}]})";

std::string cost(const relay_pricing& told, const std::string& model, const token_usage& usage,
                 endpoint target = chat) {
  const auto price = told.prices.find(model, target);
  if (price == nullptr) return "unknown";
  const auto priced = price->cost(usage, {});
  return priced.cost ? priced.cost->to_string() : "no rate for " + priced.missing;
}

relay_pricing read(const std::string& document, const relay_pricing_options& options = {}) {
  auto told = read_relay_pricing(document, options);
  if (told) return *std::move(told);
  ADD_FAILURE() << document << ": " << told.error();
  return {};
}

TEST(relay_pricing, what_is_written_to_the_cache_has_a_ratio_of_its_own) {
  const auto told = read(newer);
  const token_usage written{.prompt_tokens = 1'000'000, .cache_write_tokens = 1'000'000};
  EXPECT_EQ(cost(told, "claude-sonnet-4-5", written), "3");
  EXPECT_EQ(cost(read(older), "gpt-4o", written), "no rate for cache_write");
}

TEST(relay_pricing, a_ratio_is_the_decimal_that_was_meant) {
  const auto told = read(R"({"success":true,"data":[
    {"model_name":"m","quota_type":0,"model_ratio":7.500000000000001,"completion_ratio":2.9999999999999996}],
    "group_ratio":{"default":1}})");
  EXPECT_EQ(cost(told, "m", {1'000'000, 0, 0, 0}), "15");
  EXPECT_EQ(cost(told, "m", {0, 0, 1'000'000, 0}), "45");
}

TEST(relay_pricing, a_ratio_of_one_is_two_dollars_per_million) {
  const auto told = read(older);
  EXPECT_EQ(cost(told, "gpt-4-1106-preview", {200, 0, 0, 0}), "0.002");
  EXPECT_EQ(cost(told, "gpt-4-1106-preview", {0, 0, 200, 0}), "0.006");
  EXPECT_EQ(cost(told, "gpt-4-1106-preview", {200, 0, 200, 0}), "0.008");
  EXPECT_EQ(cost(told, "gpt-4o", {1'000'000, 1'000'000, 0, 0}), "2.5") << "cached like any other";
  EXPECT_EQ(cost(told, "openai/gpt-4o-2024-08-06", {0, 0, 1'000'000, 0}), "10");
  EXPECT_EQ(told.group_ratio, "1");
  EXPECT_EQ(told.left_out.per_call, 1U);
  EXPECT_EQ(told.left_out.not_offered, 1U);
  EXPECT_EQ(told.left_out.total(), 2U);
  EXPECT_EQ(cost(told, "mj_imagine", {1, 0, 1, 0}), "unknown");
  EXPECT_EQ(cost(told, "o3", {1, 0, 1, 0}), "unknown");
}

TEST(relay_pricing, is_read_for_the_key_s_group_and_rounded_up_once) {
  const auto told = read(older, {"vip", 500'000});
  EXPECT_EQ(told.group_ratio, "0.30000000000000004");
  EXPECT_EQ(cost(told, "o3", {1, 0, 0, 0}), "0.0000006");
  EXPECT_EQ(cost(told, "o3", {0, 0, 1, 0}), "0.0000024") << "not four times the rounded";
  EXPECT_EQ(told.left_out.not_offered, 1U) << "mj_imagine, before all else";
}

TEST(relay_pricing, takes_newer_lists_too) {
  const auto told = read(newer);
  EXPECT_EQ(cost(told, "claude-sonnet-4-5", {1'000'000, 0, 0, 0}), "2.4");
  EXPECT_EQ(cost(told, "claude-sonnet-4-5", {1'000'000, 1'000'000, 0, 0}), "0.24");
  EXPECT_EQ(cost(told, "claude-sonnet-4-5", {0, 0, 1'000'000, 0}), "12");
  EXPECT_EQ(cost(told, "gpt-5.4", {1, 0, 1, 0}), "unknown") << "its ratio is not what is billed";
  EXPECT_EQ(told.left_out.by_expression, 1U);
  EXPECT_EQ(cost(told, "free", {1, 0, 1, 0}), "0");
  EXPECT_EQ(cost(told, "embed", {1'000'000, 0, 0, 0}, endpoint::embeddings), "0.016");
  EXPECT_EQ(cost(told, "embed", {1'000'000, 0, 0, 0}), "unknown") << "no completion_ratio";
  EXPECT_EQ(told.left_out.total(), 1U);
}

TEST(relay_pricing, another_quota_for_the_dollar_makes_other_prices) {
  const auto told = read(older, {"default", 1'000'000});
  EXPECT_EQ(cost(told, "gpt-4o", {1'000'000, 0, 0, 0}), "1.25");
  const auto third = read(older, {"default", 30});
  EXPECT_EQ(cost(third, "gpt-4o", {1, 0, 0, 0}), "0.041666666666666667");
}

TEST(relay_pricing, without_ratios_of_groups_every_group_s_is_one) {
  const char* list = R"("data":[{"model_name":"m","model_ratio":1,"completion_ratio":1}])";
  for (const std::string& document :
       {std::string("{") + list + "}", std::string("{\"group_ratio\":null,") + list + "}",
        std::string(R"([{"model_name":"m","model_ratio":"1","completion_ratio":"1"}])")}) {
    const auto told = read(document, {"mine", 500'000});
    EXPECT_EQ(cost(told, "m", {1'000'000, 0, 0, 0}), "2") << document;
    EXPECT_EQ(told.group_ratio, "1");
  }
}

TEST(relay_pricing, one_entry_that_cannot_be_read_leaves_the_others) {
  const auto told = read(R"({"data":[7,{},{"model_name":""},{"model_name":"none"},
      {"model_name":"a","model_ratio":-1},{"model_name":"b","model_ratio":"x"},
      {"model_name":"c","model_ratio":1,"completion_ratio":"x"},
      {"model_name":"d","model_ratio":1,"cache_ratio":[],"completion_ratio":1},
      {"model_name":"e","quota_type":2,"model_ratio":1,"completion_ratio":1},
      {"model_name":"f","model_ratio":1e300,"completion_ratio":1},
      {"model_name":"good","model_ratio":1,"completion_ratio":1}]})");
  EXPECT_EQ(told.left_out.unreadable, 10U);
  EXPECT_EQ(cost(told, "good", {1'000'000, 0, 0, 0}), "2");
  for (const char* model : {"none", "a", "b", "c", "d", "e", "f"}) {
    EXPECT_EQ(cost(told, model, {1, 0, 1, 0}), "unknown") << model;
  }
}

TEST(relay_pricing, a_model_left_out_does_not_fall_back_to_its_base) {
  auto prices = price_table::built_in();
  prices.merge(
      read(R"({"data":[{"model_name":"gpt-4o-2024-08-06","quota_type":1,"model_price":0.1}]})")
          .prices);
  EXPECT_FALSE(prices.find("gpt-4o-2024-08-06", chat));
  EXPECT_FALSE(prices.find("openai/gpt-4o-2024-08-06", chat));
  EXPECT_TRUE(prices.find("gpt-4o", chat));
}

std::string error_of(const std::string& document, const std::string& group = "default") {
  const auto told = read_relay_pricing(document, {group, 500'000});
  return told ? "none" : told.error();
}

TEST(relay_pricing, an_unknown_group_is_told_with_those_there_are) {
  EXPECT_THAT(error_of(older, "svip"),
              AllOf(HasSubstr("\"svip\""), HasSubstr("default, vip"), Not(HasSubstr("paid"))));
  EXPECT_THAT(error_of(R"({"data":[],"group_ratio":{}})"), HasSubstr("lists none"));
  EXPECT_THAT(error_of(R"({"data":[],"usable_group":{"a":"x"}})"), HasSubstr("lists a"));
  EXPECT_THAT(error_of(R"({"data":[],"group_ratio":{"default":"dear"}})"), HasSubstr("dear"));
  EXPECT_THAT(error_of(R"({"data":[],"group_ratio":{"default":null}})"), HasSubstr("null"));
}

TEST(relay_pricing, other_answers_are_told_apart) {
  EXPECT_THAT(error_of(""), HasSubstr("empty"));
  EXPECT_THAT(error_of(" \n"), HasSubstr("empty"));
  EXPECT_THAT(error_of("<!doctype html><html>"), HasSubstr("web page"));
  EXPECT_THAT(error_of("404 page not found"), HasSubstr("not JSON"));
  EXPECT_THAT(error_of(R"({"success":true,"data":[)"), HasSubstr("not JSON"));
  EXPECT_THAT(error_of(R"({"success":false,"message":"无权进行此操作"})"),
              HasSubstr("无权进行此操作"));
  EXPECT_THAT(error_of(R"({"success":false,"message":"a\u001b[31m\nb"})"),
              AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("\n"))));
  EXPECT_THAT(error_of(R"({"success":false})"), HasSubstr("refusal"));
  EXPECT_THAT(error_of(R"({"error":{"message":"Invalid URL"}})"), HasSubstr("\"data\""));
  EXPECT_THAT(error_of("3"), HasSubstr("\"data\""));
  EXPECT_THAT(error_of(R"({"success":true,"data":{"gpt-4o":{}}})"), HasSubstr("\"data\""));
  EXPECT_THAT(error_of(R"({"success":true,"data":[{"model":"gpt-4o","input":1.25}]})"),
              HasSubstr("model_name"));
}

}  // namespace
}  // namespace sluice
