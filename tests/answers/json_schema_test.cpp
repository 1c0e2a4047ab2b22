#include "answers/json_schema.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

namespace sluice::answers {
namespace {

// The fault of an answer under a schema, or "fits" if there is none.
std::string judge(std::string_view schema, std::string_view answer) {
  const auto compiled = json_schema::compile(schema);
  if (!compiled) return "schema " + compiled.error();
  return (*compiled)->fault_of(answer).value_or("fits");
}

TEST(json_answer, must_be_one_json_value) {
  EXPECT_FALSE(json_answer_fault(R"( {"a":[1,2.50,"x"]} )"));
  EXPECT_FALSE(json_answer_fault("12"));
  EXPECT_EQ(json_answer_fault(""), "is empty");
  EXPECT_EQ(json_answer_fault(" \n"), "is empty");
  EXPECT_EQ(json_answer_fault("```json\n{}\n```"), "wraps its JSON in a Markdown fence (```)");
  for (const char* text : {"{} {}", "{'a':1}", "{\"a\":1,}", "NaN", "Here it is: {}", "{\"a\":"}) {
    EXPECT_TRUE(json_answer_fault(text).value_or("").starts_with("is not JSON: ")) << text;
  }
}

TEST(json_answer, must_not_be_nested_without_an_end) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_EQ(json_answer_fault(deep), "is JSON that is nested deeper than 200 levels");
}

TEST(json_schema, names_the_place_and_what_is_wrong) {
  constexpr auto schema =
      R"({"type":"object","properties":{"items":{"type":"array","items":{"type":"object",)"
      R"("properties":{"a/b":{"type":"integer"}},"required":["a/b"]}}},"additionalProperties":false})";
  EXPECT_EQ(judge(schema, R"({"items":[{"a/b":1},{"a/b":2}]})"), "fits");
  EXPECT_EQ(judge(schema, R"({"items":[{"a/b":1},{"a/b":"2"}]})"),
            "does not fit the schema: at /items/1/a~1b: a value of type string may not stand here");
  EXPECT_EQ(judge(schema, R"({"items":[{}]})"),
            "does not fit the schema: at /items/0: missing required property 'a/b'");
  EXPECT_TRUE(judge(schema, R"({"more":1})").starts_with("does not fit the schema: at the top: "));
}

TEST(json_schema, follows_references_and_recursion) {
  constexpr auto schema = R"({"$defs":{"node":{"type":"object","properties":{"next":{"anyOf":[)"
                          R"({"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["next"]}},)"
                          R"("$ref":"#/$defs/node"})";
  EXPECT_EQ(judge(schema, R"({"next":{"next":null}})"), "fits");
  EXPECT_NE(judge(schema, R"({"next":{"next":1}})"), "fits");
}

TEST(json_schema, checks_enum_const_bounds_and_combinations) {
  EXPECT_EQ(judge(R"({"enum":["a","b"]})", R"("b")"), "fits");
  EXPECT_NE(judge(R"({"enum":["a","b"]})", R"("c")"), "fits");
  EXPECT_NE(judge(R"({"const":1})", "2"), "fits");
  EXPECT_NE(judge(R"({"minimum":3})", "2"), "fits");
  EXPECT_NE(judge(R"({"type":"array","minItems":1})", "[]"), "fits");
  EXPECT_NE(judge(R"({"oneOf":[{"type":"integer"},{"minimum":1}]})", "2"), "fits");
  EXPECT_NE(judge(R"({"not":{"type":"string"}})", R"("x")"), "fits");
  EXPECT_EQ(judge(R"({"type":["string","null"]})", "null"), "fits");
}

TEST(json_schema, matches_patterns_in_linear_time) {
  EXPECT_EQ(judge(R"({"type":"string","pattern":"^[a-z]+$"})", R"("abc")"), "fits");
  EXPECT_EQ(judge(R"({"properties":{"id":{"pattern":"^\\d+$"}}})", R"({"id":"x"})"),
            "does not fit the schema: at /id: does not match the pattern ^\\d+$");
  // A backtracking matcher would practically never finish here.
  EXPECT_NE(judge(R"({"pattern":"^(a+)+$"})", "\"" + std::string(100'000, 'a') + "b\""), "fits");
  EXPECT_TRUE(judge(R"j({"pattern":"("})j", "1").starts_with("schema has a pattern"));
  EXPECT_TRUE(judge(R"j({"pattern":"(?=a)"})j", "1").starts_with("schema has a pattern"));
}

TEST(json_schema, checks_the_formats_of_times_and_takes_others_as_notes) {
  EXPECT_EQ(judge(R"({"format":"date"})", R"("2026-02-28")"), "fits");
  EXPECT_EQ(judge(R"({"format":"date"})", R"("28.2.2026")"),
            "does not fit the schema: at the top: is not a date");
  EXPECT_EQ(judge(R"({"format":"date-time"})", R"("2026-02-28T10:00:00Z")"), "fits");
  EXPECT_NE(judge(R"({"format":"date-time"})", R"("2026-02-28")"), "fits");
  EXPECT_EQ(judge(R"({"format":"email"})", R"("x")"), "fits");
  EXPECT_NE(judge(R"({"format":"date"})", "\"" + std::string(200'000, '1') + "\""), "fits");
}

TEST(json_schema, a_property_may_have_the_name_of_a_keyword) {
  constexpr auto schema = R"({"type":"object","properties":{"pattern":{"type":"integer"},)"
                          R"("prefixItems":{"type":"integer"},"$schema":{"type":"integer"}},)"
                          R"("required":["pattern"]})";
  EXPECT_EQ(judge(schema, R"({"pattern":1,"prefixItems":2,"$schema":3})"), "fits");
  EXPECT_NE(judge(schema, R"({"pattern":"1"})"), "fits");
}

TEST(json_schema, refuses_what_would_not_be_checked) {
  EXPECT_EQ(judge("[]", "1"), "schema is not a JSON object");
  EXPECT_TRUE(judge("{", "1").starts_with("schema is not JSON: "));
  EXPECT_EQ(judge(R"({"prefixItems":[{}]})", "1"), "schema uses prefixItems, which is not checked");
  EXPECT_EQ(judge(R"({"properties":{"a":{"items":{"unevaluatedProperties":false}}}})", "1"),
            "schema uses unevaluatedProperties, which is not checked");
  EXPECT_TRUE(judge(R"({"$ref":"https://example.org/x.json"})", "1")
                  .starts_with("schema refers to another document"));
  EXPECT_EQ(judge(R"({"$ref":"#/$defs/x"})", "1"),
            "schema has a $ref to #/$defs/x, which is not in it");
  EXPECT_TRUE(judge(R"({"type":1})", "1").starts_with("schema "));
}

TEST(json_schema, refuses_a_multiple_of_nothing) {
  for (const char* value : {"0", "0.0", "-5", "1e-400", "\"5\"", "null", "[]", "true"}) {
    for (const char* name : {"multipleOf", "divisibleBy"}) {
      EXPECT_EQ(judge(fmt::format(R"({{"{}":{}}})", name, value), "10"),
                fmt::format("schema has a {} that is not a number above 0", name));
    }
  }
  EXPECT_EQ(judge(R"({"properties":{"a":{"anyOf":[{"multipleOf":0}]}}})", R"({"a":10})"),
            "schema has a multipleOf that is not a number above 0");
  EXPECT_EQ(judge(R"({"properties":{"multipleOf":{"const":0}}})", R"({"multipleOf":0})"), "fits");
  // The place to which a reference leads is a schema, whatever its name is.
  EXPECT_EQ(judge(R"({"$ref":"#/parts/a","parts":{"a":{"multipleOf":0}}})", "10"),
            "schema has a multipleOf that is not a number above 0");
}

TEST(json_schema, prepares_each_place_to_which_a_reference_leads) {
  const std::string text = "\"" + std::string(100'000, 'a') + "b\"";
  EXPECT_EQ(judge(R"({"$ref":"#/parts/a","parts":{"a":{"pattern":"^a+b$"}}})", text), "fits");
  EXPECT_EQ(judge(R"({"$ref":"#/parts/a","parts":{"a":{"prefixItems":[{}]}}})", "1"),
            "schema uses prefixItems, which is not checked");
  EXPECT_EQ(judge(R"({"$ref":"#/parts/a","parts":{"a":{"$ref":"#/parts/b"},)"
                  R"("b":{"items":{"$ref":"#/parts/c"}},"c":{"multipleOf":0}}})",
                  "[10]"),
            "schema has a multipleOf that is not a number above 0");
  EXPECT_EQ(judge(R"({"const":{"pattern":"a"},"items":{"$ref":"#/const"}})", R"({"pattern":"a"})"),
            "schema has a $ref to #/const, which is a value and not a schema");
}

TEST(json_schema, refuses_references_that_go_round_in_a_circle) {
  EXPECT_EQ(judge(R"({"$ref":"#"})", "1"), "schema refers to itself without an end");
  EXPECT_EQ(
      judge(R"({"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"allOf":[{"$ref":"#/$defs/a"}]}}})", "1"),
      "schema refers to itself without an end");
}

TEST(json_schema, is_not_misled_by_surrogates_and_large_numbers) {
  EXPECT_EQ(judge(R"({"type":"string"})", R"("\ud800")"), "fits");
  EXPECT_EQ(judge(R"({"type":"number"})", "123456789012345678901234567890"), "fits");
  EXPECT_EQ(judge(R"({"type":"integer"})", "1"), "fits");
}

}  // namespace
}  // namespace sluice::answers
