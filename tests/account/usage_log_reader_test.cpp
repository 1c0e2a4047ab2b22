#include "account/usage_log_reader.hpp"

#include <gtest/gtest.h>

#include <string>

namespace sluice::account {
namespace {

template <typename Value>
std::string shown(const std::optional<Value>& value) {
  if (!value) return "-";
  if constexpr (std::is_same_v<Value, usd>) {
    return value->to_string();
  } else if constexpr (std::is_same_v<Value, std::string>) {
    return *value;
  } else {
    return std::to_string(*value);
  }
}

std::string in_short(const usage_log_row& row) {
  return shown(row.time) + " " + row.model + " " + shown(row.prompt_tokens) + "+" +
         shown(row.completion_tokens) + " $" + shown(row.cost) + " " + shown(row.seconds) + "s " +
         shown(row.streamed) + " " + shown(row.served_model);
}

TEST(usage_log_reader, one_row_in_every_shape) {
  const struct {
    const char* sentence;
    const char* row;
    const char* told;
  } rows[] = {
      {"one-api counts milliseconds.",
       R"({"id":1,"created_at":1700000000,"type":2,"model_name":"gpt-4","quota":4000,)"
       R"("prompt_tokens":200,"completion_tokens":100,"elapsed_time":1500,"is_stream":true})",
       "1700000000 gpt-4 200+100 $0.008 1.500000s 1 -"},
      {"new-api counts seconds, and puts more into a string.",
       R"({"created_at":1700000000,"type":2,"model_name":"gpt-4","quota":1,"prompt_tokens":5,)"
       R"("completion_tokens":6,"use_time":3,"is_stream":false,"other":"{\"group_ratio\":1}"})",
       "1700000000 gpt-4 5+6 $0.000002 3.000000s 0 -"},
      {"A mapped model is an admission.",
       R"({"type":2,"model_name":"gpt-4","other":"{\"is_model_mapped\":true,)"
       R"(\"upstream_model_name\":\"gpt-3.5-turbo\"}"})",
       "- gpt-4 -+- $- -s - gpt-3.5-turbo"},
      {"So is the name alone.",
       R"({"type":2,"model_name":"a","other":"{\"upstream_model_name\":\"b\"}"})",
       "- a -+- $- -s - b"},
      {"It says that it is not mapped.",
       R"({"type":2,"model_name":"a","other":"{\"is_model_mapped\":false,)"
       R"(\"upstream_model_name\":\"a\"}"})",
       "- a -+- $- -s - -"},
      {"What more there is need not be JSON.", R"({"type":2,"model_name":"a","other":"{"})",
       "- a -+- $- -s - -"},
      {"Null is nothing, and numbers may be strings.",
       R"({"type":"2","model_name":null,"quota":"500000","prompt_tokens":null,"other":null})",
       "-  -+- $1 -s - -"},
  };
  for (const auto& row : rows) {
    const auto log = read_usage_log(
        R"({"success":true,"message":"","data":[)" + std::string(row.row) + "]}", site_units());
    ASSERT_TRUE(log && log->size() == 1) << row.sentence;
    EXPECT_EQ(in_short(log->front()), row.told) << row.sentence;
  }
}

TEST(usage_log_reader, consumption_alone_in_the_relays_order) {
  const auto log = read_usage_log(
      R"({"success":true,"data":[{"type":2,"model_name":"b"},{"type":1,"quota":5},{"type":5},7,)"
      R"({"model_name":"untyped"},{"type":2,"model_name":"a"}]})",
      site_units());
  ASSERT_TRUE(log);
  ASSERT_EQ(log->size(), 2U);
  EXPECT_EQ(log->front().model, "b");
  EXPECT_EQ(log->back().model, "a");
}

TEST(usage_log_reader, a_page_of_a_log_and_an_empty_one) {
  EXPECT_EQ(read_usage_log(R"({"success":true,"data":{"page":1,"total":1,"items":[{"type":2}]}})",
                           site_units())
                ->size(),
            1U);
  EXPECT_TRUE(read_usage_log(R"({"success":true,"data":[]})", site_units())->empty());
  EXPECT_TRUE(read_usage_log(R"({"success":true,"data":null})", site_units())->empty());
}

TEST(usage_log_reader, costs_are_in_the_units_of_the_site) {
  const auto log = read_usage_log(R"({"data":[{"type":2,"quota":250}]})",
                                  site_units::read(R"({"data":{"quota_per_unit":1000}})"));
  EXPECT_EQ(log->front().cost->to_string(), "0.25");
}

TEST(usage_log_reader, what_is_no_log) {
  for (const char* body : {"", "<html>", R"({"success":false,"message":"record not found"})",
                           R"({"error":{"message":"Invalid URL"}})", R"({"data":{"page":1}})",
                           R"({"data":null})", "[]"}) {
    EXPECT_FALSE(read_usage_log(body, site_units())) << body;
  }
}

}  // namespace
}  // namespace sluice::account
