#include "json/object.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice {
namespace {

TEST(json_object, tells_missing_null_and_empty_apart) {
  const json_object object(R"({"null":null,"empty":"","list":[],"a":1,"a":2})");
  struct row {
    const char* name;
    bool has;
    bool has_value;
    const char* value;
  };
  for (const auto& [name, has, has_value, value] :
       {row{"missing", false, false, ""}, row{"null", true, false, ""},
        row{"empty", true, true, R"("")"}, row{"list", true, true, "[]"},
        row{"a", true, true, "2"}}) {
    EXPECT_EQ(object.has(name), has) << name;
    EXPECT_EQ(object.has_value(name), has_value) << name;
    EXPECT_EQ(object.value(name), value) << name;
  }
}

TEST(json_object, reads_each_value_as_what_it_is_asked_for) {
  const json_object object(R"({"text":"a\n","list":[1,"b"],"inner":{"deep":{"x":1.50}},"n":1})");
  EXPECT_EQ(object.text("text"), "a\n");
  EXPECT_EQ(object.text("n"), std::nullopt);
  EXPECT_EQ(object.text("missing"), std::nullopt);
  EXPECT_EQ(object.list("list"), (std::vector<std::string_view>{"1", R"("b")"}));
  EXPECT_TRUE(object.list("text").empty());
  EXPECT_EQ(object.object("inner").object("deep").value("x"), "1.50");
  EXPECT_EQ(object.object("n").object("deep").value("x"), "");
}

TEST(json_object, of_what_is_no_object) {
  for (const char* text : {"[]", "1", R"("{}")", "null", ""}) {
    EXPECT_FALSE(json_object(std::string_view(text)).is_object()) << text;
    EXPECT_FALSE(json_object(std::string_view(text)).has("a")) << text;
  }
  EXPECT_TRUE(json_object("{}").is_object());
  EXPECT_TRUE(json_object("{}").empty());
  EXPECT_TRUE(json_object::parse(R"( {"a":1} )").is_object());
  EXPECT_FALSE(json_object::parse(R"({"a":1)").is_object());
  EXPECT_FALSE(json_object::parse(R"({"a":1}})").is_object());
}

}  // namespace
}  // namespace sluice
