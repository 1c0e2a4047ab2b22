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

// Each node is one of six kinds, and the name of its kind is checked after its children.
TEST(json_schema, a_recursive_union_takes_little_time) {
  std::string kinds;
  for (int kind = 0; kind < 6; ++kind) {
    kinds += fmt::format(R"({}{{"type":"object","required":["args","kind"],"properties":{{"args":)"
                         R"({{"type":"array","items":{{"$ref":"#/$defs/node"}}}},"kind":)"
                         R"({{"const":"k{}"}}}}}})",
                         kind == 0 ? "" : ",", kind);
  }
  const std::string schema =
      R"({"$ref":"#/$defs/node","$defs":{"node":{"oneOf":[)" + kinds + "]}}}";
  const auto chain = [](std::string_view last) {
    std::string text = fmt::format(R"({{"kind":"{}","args":[]}})", last);
    for (int depth = 0; depth < 50; ++depth) {
      text = fmt::format(R"({{"kind":"k{}","args":[{}]}})", depth % 6, text);
    }
    return text;
  };
  EXPECT_EQ(judge(schema, chain("k5")), "fits");
  EXPECT_TRUE(judge(schema, chain("k6")).starts_with("does not fit the schema: "));
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

TEST(json_schema, checks_the_keywords_beside_a_reference) {
  constexpr auto schema =
      R"({"type":"object","properties":{"x":{"$ref":"#/$defs/a","minLength":5}},)"
      R"("$defs":{"a":{"type":"string"}}})";
  EXPECT_EQ(judge(schema, R"({"x":"abcde"})"), "fits");
  EXPECT_EQ(judge(schema, R"({"x":"ab"})"),
            "does not fit the schema: at /x: string should be no fewer than 5 characters in "
            "length");
  EXPECT_EQ(judge(schema, R"({"x":7})"),
            "does not fit the schema: at /x: a value of type number may not stand here");
  // Keywords with own names, at the top, and beside other combinations.
  constexpr auto at_the_top =
      R"({"$ref":"#/$defs/a","multipleOf":5,"allOf":[{"maximum":20}],"anyOf":[{"type":"number"}],)"
      R"("$defs":{"a":{"$ref":"#/$defs/b","minimum":10},"b":{"type":"integer"}}})";
  EXPECT_EQ(judge(at_the_top, "15"), "fits");
  for (const char* value : {"12", "5", "25", "\"15\""})
    EXPECT_NE(judge(at_the_top, value), "fits") << value;
  // A reference into what stands beside a reference still finds its place.
  constexpr auto into =
      R"({"properties":{"x":{"$ref":"#/$defs/a","properties":{"y":{"type":"integer"}}},)"
      R"("z":{"$ref":"#/properties/x/properties/y"}},"$defs":{"a":{"required":["y"]}}})";
  EXPECT_EQ(judge(into, R"({"x":{"y":1},"z":2})"), "fits");
  EXPECT_NE(judge(into, R"({"x":{"y":1},"z":"2"})"), "fits");
  EXPECT_NE(judge(into, R"({"x":{"y":"1"}})"), "fits");
  EXPECT_NE(judge(into, R"({"x":{}})"), "fits");
}

TEST(json_schema, takes_notes_beside_a_reference_as_notes) {
  constexpr auto schema =
      R"({"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"next":)"
      R"({"$ref":"#/$defs/node","title":"t","description":"d","default":null,"examples":[1],)"
      R"("$comment":"c","x-order":1}}}}})";
  EXPECT_EQ(judge(schema, R"({"next":{"next":{}}})"), "fits");
  EXPECT_NE(judge(schema, R"({"next":{"next":1}})"), "fits");
}

TEST(json_schema, refuses_what_it_cannot_check_beside_a_reference) {
  EXPECT_EQ(judge(R"({"$ref":"#/$defs/a","prefixItems":[{}],"$defs":{"a":{}}})", "1"),
            "schema uses prefixItems, which is not checked");
  EXPECT_EQ(judge(R"({"$ref":"#/$defs/a","multipleOf":0,"$defs":{"a":{}}})", "1"),
            "schema has a multipleOf that is not a number above 0");
  EXPECT_EQ(
      judge(R"({"$ref":"#/$defs/a","allOf":[{}],"anyOf":[{}],"oneOf":[{}],"$defs":{"a":{}}})", "1"),
      "schema has a $ref beside allOf, anyOf and oneOf; put the $ref into the allOf");
  EXPECT_EQ(judge(R"({"$defs":{"a":{"$ref":"#/$defs/a","minLength":1}}})", "1"),
            "schema refers to itself without an end");
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

std::string list_of(std::size_t count, std::string_view item) {
  std::string text = "[";
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) text += ',';
    text += item;
  }
  return text + "]";
}

TEST(json_schema, finds_equal_items) {
  constexpr auto schema = R"({"uniqueItems":true})";
  for (const char* fit :
       {"[]", "[1]", "[1,2]", "[1,true]", "[0,false,null,\"\",[],{}]", "[1,\"1\"]",
        R"([{"a":1},{"a":2},{"b":1},{"a":1,"b":1}])", "[[1,2],[2,1],[1]]", "7",
        "[9007199254740992,9007199254740993]", "[0.1,0.10000000000000001]",
        "[18446744073709551615,-1]", R"({"a":1,"b":1})",
        "[123456789012345678901234567890,123456789012345678901234567891]"}) {
    EXPECT_EQ(judge(schema, fit), "fits") << fit;
  }
  for (const char* equal :
       {"[1,1]", "[1,1.0]", "[100,1e2]", "[0,-0.0]", R"([{"a":1,"b":[2]},{"b":[2.0],"a":1}])",
        "[null,null]", "[[],[]]", "[1e30,1000000000000000000000000000000]", "[0.5,5e-1]",
        "[18446744073709551615,18446744073709551615.0]"}) {
    EXPECT_EQ(judge(schema, equal), "does not fit the schema: at the top: items 0 and 1 are equal")
        << equal;
  }
  EXPECT_EQ(judge(schema, "[3,2,1,2,3,3]"),
            "does not fit the schema: at the top: items 1 and 3 are equal");
  EXPECT_EQ(judge(R"({"uniqueItems":false})", "[1,1]"), "fits");
  EXPECT_EQ(judge(R"({"uniqueItems":1})", "1"),
            "schema has a uniqueItems that is neither true nor false");
}

// With an error for each pair, this would need many gigabytes and hours.
TEST(json_schema, looks_for_equal_items_in_little_time_and_memory) {
  constexpr auto schema = R"({"type":"array","items":{"type":"string"},"uniqueItems":true})";
  EXPECT_EQ(judge(schema, list_of(100'000, R"("a")")),
            "does not fit the schema: at the top: items 0 and 1 are equal");
  std::string different = "[0";
  for (int i = 1; i < 100'000; ++i) different += fmt::format(",{}", i * 7 % 100'000);
  EXPECT_EQ(judge(R"({"uniqueItems":true})", different + "]"), "fits");
  EXPECT_EQ(judge(R"({"uniqueItems":true})", different + ",0]"),
            "does not fit the schema: at the top: items 0 and 100000 are equal");
}

// The path of each error has the name. With an error for each element, or a path for each, this
// would need more memory and time than there is.
TEST(json_schema, keeps_the_first_error_alone) {
  const std::string name(200'000, 'n');
  const auto inside = [&](const std::string& value) {
    return fmt::format(R"({{"{}":{}}})", name, value);
  };
  const std::string fault = "does not fit the schema: at /" + name.substr(0, 159) + ": ";
  const auto judge_inside = [&](const std::string& schema, const std::string& value) {
    return judge(fmt::format(R"({{"additionalProperties":{}}})", schema), inside(value));
  };
  const std::string list = list_of(500'000, "1");
  EXPECT_EQ(judge_inside(R"({"items":{"type":"string"}})", list),
            fault + "a value of type number may not stand here");
  EXPECT_EQ(judge_inside(R"({"items":[{}],"additionalItems":{"type":"string"}})", list),
            fault + "a value of type number may not stand here");
  EXPECT_EQ(judge_inside(R"({"items":{"type":"integer"}})", list), "fits");
  EXPECT_EQ(judge_inside(R"({"items":[{}],"additionalItems":{"type":"integer"}})", list), "fits");
  std::string members = R"({"x":1)";
  for (int i = 0; i < 200'000; ++i) members += fmt::format(R"(,"{}":1)", i);
  members += '}';
  EXPECT_EQ(judge_inside(R"({"additionalProperties":{"type":"string"}})", members),
            fault + "a value of type number may not stand here");
  EXPECT_EQ(judge_inside(R"({"additionalProperties":{"type":"integer"}})", members), "fits");
  EXPECT_EQ(judge(R"({"items":{"anyOf":[{"type":"string"},{"type":"null"}]}})", list),
            "does not fit the schema: at /0: a value of type number may not stand here");
}

TEST(json_schema, checks_lists_with_a_schema_for_each_place) {
  constexpr auto schema =
      R"({"items":[{"type":"string"},{"type":"null"}],"additionalItems":{"type":"integer"}})";
  EXPECT_EQ(judge(schema, R"(["a",null,1,2])"), "fits");
  EXPECT_EQ(judge(schema, R"(["a"])"), "fits");
  EXPECT_EQ(judge(schema, R"(["a",1])"),
            "does not fit the schema: at /1: a value of type number may not stand here");
  EXPECT_EQ(judge(schema, R"(["a",null,1,"b"])"),
            "does not fit the schema: at /3: a value of type string may not stand here");
  EXPECT_EQ(judge(R"({"items":[{}],"additionalItems":false})", "[1,2]"),
            "does not fit the schema: at the top: array contains more items than allowed by items "
            "constraint");
  EXPECT_EQ(judge(R"({"items":[{}],"additionalItems":false})", "[1]"), "fits");
}

TEST(json_schema, multiples_are_those_of_the_decimals) {
  const auto fits = [](const char* divisor, const char* value) {
    const std::string verdict = judge(fmt::format(R"({{"multipleOf":{}}})", divisor), value);
    if (verdict == "fits") return true;
    EXPECT_EQ(verdict,
              fmt::format("does not fit the schema: at the top: is not a multiple of {}", divisor));
    return false;
  };
  for (const char* value : {"19.99", "4.35", "1299.99", "-0.07", "0", "0.0", "-0", "3", "1e300",
                            "123456789012345678.91", "18446744073709551615"})
    EXPECT_TRUE(fits("0.01", value)) << value;
  for (const char* value : {"0.005", "19.991", "123456789012345678.915", "1e-300", "-4.355"})
    EXPECT_FALSE(fits("0.01", value)) << value;
  for (const char* value :
       {"10", "10.0", "-15", "1e1", "18446744073709551615", "123456789012345678901234567890"})
    EXPECT_TRUE(fits("5", value)) << value;
  for (const char* value : {"10.7", "4", "1e-1", "18446744073709551614",
                            "123456789012345678901234567891", "5.000000000000000000001"})
    EXPECT_FALSE(fits("5", value)) << value;
  EXPECT_TRUE(fits("3e-7", "0.0000009"));
  EXPECT_TRUE(fits("1e-300", "1e300"));
  EXPECT_FALSE(fits("1e300", "1e-300"));
  EXPECT_TRUE(fits("18446744073709551615", "36893488147419103230"));
  EXPECT_EQ(judge(R"({"multipleOf":5})", R"("12")"), "fits");
  EXPECT_EQ(judge(R"({"propertyNames":{"multipleOf":5}})", R"({"12":1})"), "fits");
  EXPECT_EQ(judge(fmt::format(R"({{"multipleOf":{}}})", std::string(37, '7')), "1"),
            "schema has a multipleOf with more than 36 digits");
}

TEST(json_schema, integers_are_whole_numbers) {
  constexpr auto schema = R"({"type":"integer"})";
  for (const char* value :
       {"5.0", "1e3", "-2.50e1", "0.0", "-0", "18446744073709551615", "1e300",
        "123456789012345678901234567890", "9223372036854775808", "1234567890123456789012.00"})
    EXPECT_EQ(judge(schema, value), "fits") << value;
  for (const char* value : {"5.5", "1e-3", "1234567890123456789.5", "\"5\"", "true",
                            "5.00000000000000000000001", "1e-400"})
    EXPECT_NE(judge(schema, value), "fits") << value;
  EXPECT_EQ(
      judge(R"({"type":"object","properties":{"a":{"type":["integer","null"]}}})", R"({"a":2.0})"),
      "fits");
  EXPECT_EQ(judge(R"({"minLength":2.0})", R"("a")"),
            "does not fit the schema: at the top: string should be no fewer than 2 characters in "
            "length");
}

TEST(json_schema, integers_of_draft_4_have_no_fraction) {
  constexpr auto schema =
      R"({"$schema":"http://json-schema.org/draft-04/schema#","type":"integer"})";
  for (const char* value : {"5", "-7", "18446744073709551615", "100000000000000000000",
                            "123456789012345678901234567890"})
    EXPECT_EQ(judge(schema, value), "fits") << value;
  for (const char* value : {"5.0", "1e3", "1e30", "12345678901234567890123.0"})
    EXPECT_EQ(judge(schema, value),
              "does not fit the schema: at the top: a value of type number may not stand here")
        << value;
  EXPECT_EQ(
      judge(R"({"$schema":"http://json-schema.org/draft-07/schema#","type":"integer"})", "5.0"),
      "fits");
  EXPECT_EQ(judge(R"({"$schema":"http://json-schema.org/draft-04/schema#","enum":[5]})", "5.0"),
            "fits");
}

TEST(json_schema, compares_numbers_with_bounds_exactly) {
  EXPECT_EQ(judge(R"({"minimum":3})", "2.99"),
            "does not fit the schema: at the top: is below the minimum of 3");
  EXPECT_EQ(judge(R"({"maximum":0.1})", "0.11"),
            "does not fit the schema: at the top: is above the maximum of 0.1");
  EXPECT_EQ(judge(R"({"exclusiveMinimum":3})", "3.0"),
            "does not fit the schema: at the top: is not above 3");
  EXPECT_EQ(judge(R"({"exclusiveMaximum":3})", "3"),
            "does not fit the schema: at the top: is not below 3");
  for (const char* schema :
       {R"({"minimum":3,"maximum":3.0})", R"({"exclusiveMinimum":2.9,"exclusiveMaximum":3.1})"}) {
    EXPECT_EQ(judge(schema, "3"), "fits");
    EXPECT_EQ(judge(schema, R"("x")"), "fits");
  }
  EXPECT_NE(judge(R"({"maximum":9007199254740992})", "9007199254740993"), "fits");
  EXPECT_NE(judge(R"({"exclusiveMinimum":0.1})", "0.1000"), "fits");
  EXPECT_EQ(judge(R"({"exclusiveMinimum":0.1})", "0.10000000000000000001"), "fits");
  EXPECT_EQ(judge(R"({"minimum":"3"})", "1"), "schema has a minimum that is not a number");
}

TEST(json_schema, takes_the_exclusive_bounds_of_draft_4) {
  constexpr auto schema =
      R"({"minimum":3,"exclusiveMinimum":true,"maximum":5,"exclusiveMaximum":false})";
  EXPECT_EQ(judge(schema, "3"), "does not fit the schema: at the top: is not above 3");
  EXPECT_EQ(judge(schema, "3.1"), "fits");
  EXPECT_EQ(judge(schema, "5"), "fits");
  EXPECT_EQ(judge(R"({"exclusiveMaximum":true})", "5"),
            "schema has an exclusiveMaximum without a maximum");
}

TEST(json_schema, compares_numbers_of_any_size) {
  for (const char* value :
       {"18446744073709551615", "9223372036854775808", "1e30", "123456789012345678901234567890"}) {
    EXPECT_EQ(judge(R"({"type":"integer","minimum":0})", value), "fits") << value;
    EXPECT_NE(judge(R"({"maximum":100})", value), "fits") << value;
    EXPECT_NE(judge(R"({"exclusiveMaximum":100})", value), "fits") << value;
  }
  EXPECT_EQ(judge(R"({"maximum":18446744073709551615})", "12"), "fits");
  EXPECT_EQ(judge(R"({"const":1})", "1.0"), "fits");
  EXPECT_EQ(judge(R"({"enum":[18446744073709551615]})", "18446744073709551615"), "fits");
  EXPECT_NE(judge(R"({"enum":[18446744073709551615]})", "-1"), "fits");
  EXPECT_NE(judge(R"({"const":9007199254740993})", "9007199254740992"), "fits");
  EXPECT_EQ(judge(R"({"propertyNames":{"enum":["a"]}})", R"({"a":1})"), "fits");
  EXPECT_NE(judge(R"({"propertyNames":{"enum":["a"]}})", R"({"b":1})"), "fits");
  EXPECT_EQ(judge(R"({"type":"number"})", "1e400"), "has a number that is too large");
  EXPECT_EQ(judge(R"({"maximum":1e400})", "1"), "schema has a number that is too large");
}

}  // namespace
}  // namespace sluice::answers
