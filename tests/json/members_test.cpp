#include "json/members.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "json/text.hpp"

namespace sluice {
namespace {

TEST(json_members, cuts_values_out_as_they_are_written) {
  const std::string text =
      R"( { "a" : 1.50e+02 , "b":"x\"y\\", "c": [1, {"d": "]}"}, []] ,"e":{"f":{}} , "g":null } )";
  const auto members = json_members(text);
  ASSERT_TRUE(members);
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"a", "1.50e+02"},
      {"b", R"("x\"y\\")"},
      {"c", R"([1, {"d": "]}"}, []])"},
      {"e", R"({"f":{}})"},
      {"g", "null"}};
  ASSERT_EQ(members->size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto& member = (*members)[i];
    EXPECT_EQ(member.key, expected[i].first);
    EXPECT_EQ(member.value, expected[i].second);
    EXPECT_EQ(text[member.begin], '"');
    EXPECT_EQ(text.substr(member.end - member.value.size(), member.value.size()), member.value);
  }
}

TEST(json_members, of_an_empty_object_and_of_none) {
  EXPECT_TRUE(json_members("{}")->empty());
  EXPECT_TRUE(json_members(" {\n} ")->empty());
  for (const char* text : {"[]", "1", "\"{}\"", "null", ""})
    EXPECT_FALSE(json_members(text)) << text;
}

TEST(find_member, takes_the_last_of_two_and_sees_through_escapes) {
  const auto members = json_members(R"({"a":1,"a":2,"\u0062":3})");
  ASSERT_TRUE(members);
  EXPECT_EQ(find_member(*members, "a")->value, "2");
  EXPECT_EQ(find_member(*members, "b")->value, "3");
  EXPECT_EQ(find_member(*members, "c"), nullptr);
}

TEST(json_elements, gives_the_values_of_an_array) {
  EXPECT_EQ(*json_elements(R"([1, "a,b" ,[2,3],{"x":[]}, null])"),
            (std::vector<std::string_view>{"1", R"("a,b")", "[2,3]", R"({"x":[]})", "null"}));
  EXPECT_TRUE(json_elements("[ ]")->empty());
  EXPECT_FALSE(json_elements("{}"));
  EXPECT_FALSE(json_elements("\"[]\""));
}

TEST(json_string, says_what_a_string_says) {
  EXPECT_EQ(json_string(R"("plain")"), "plain");
  EXPECT_EQ(json_string(R"("")"), "");
  EXPECT_EQ(json_string(R"("a\n\u00e9\ud83d\ude00\/")"), "a\né😀/");
  EXPECT_EQ(json_string(R"("\ud800!")"), "\xEF\xBF\xBD!") << "a lone surrogate";
  EXPECT_EQ(json_string(R"("\"\\\b\f\n\r\t\u0000.")"), std::string("\"\\\b\f\n\r\t\0.", 9));
  EXPECT_EQ(json_string("\"\\n" + std::string(100'000, 'x') + '"'),
            "\n" + std::string(100'000, 'x'));
  EXPECT_FALSE(json_string("\"\\n\xff\"")) << "no valid UTF-8";
  for (const char* text : {"1", "null", "[\"a\"]", ""}) EXPECT_FALSE(json_string(text)) << text;
}

TEST(json_string, says_what_another_parser_says) {
  for (unsigned unit = 0; unit < 0x10000; unit += 7) {
    const std::string text = fmt::format("\"x\\u{:04x}y\\u{:04X}\"", unit, 0xFFFF - unit);
    const bool surrogates = (unit & 0xF800U) == 0xD800 || ((0xFFFF - unit) & 0xF800U) == 0xD800;
    if (surrogates) continue;
    EXPECT_EQ(json_string(text), nlohmann::json::parse(text).get<std::string>());
  }
  EXPECT_EQ(json_string(R"("\uD834\uDD1E")"), "\xF0\x9D\x84\x9E");
  EXPECT_EQ(json_string(R"("\ud83d\ud83d\ude00\ude00")"), "\xEF\xBF\xBD😀\xEF\xBF\xBD");
  for (const char* text : {R"("\x")", R"("\u12")", R"("\u12G4")", R"("\")"})
    EXPECT_FALSE(json_string(text)) << text;
}

TEST(json_string_wtf8, keeps_lone_surrogates_apart_and_gives_them_back) {
  const std::string texts[] = {R"("\ud800")",       R"("\ud801")",      R"("\udfff")",
                               R"("\udc00\ud800")", R"("a\ud800b\n😀")", R"("\ud83d😀")"};
  std::set<std::string> apart;
  for (const std::string& text : texts) {
    const auto told = json_string_wtf8(text);
    ASSERT_TRUE(told) << text;
    apart.insert(*told);
    std::string back;
    append_json_wtf8(back, *told);
    EXPECT_EQ(back, text);
  }
  EXPECT_EQ(apart.size(), std::size(texts));
  EXPECT_EQ(json_string_wtf8(R"("\ud83d\ude00")"), "😀");
  std::string back;
  append_json_wtf8(back, "a\xff\xed\xa0\x80\xed\xa0");
  EXPECT_EQ(back, "\"a\xEF\xBF\xBD\\ud800\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

}  // namespace
}  // namespace sluice
