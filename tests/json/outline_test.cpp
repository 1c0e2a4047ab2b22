#include "json/outline.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "json/text.hpp"

namespace sluice {
namespace {

void expect_same(const std::string& text, const std::vector<json_member>& told,
                 std::string_view object) {
  const auto expected = json_members(object);
  ASSERT_TRUE(expected) << text;
  ASSERT_EQ(told.size(), expected->size()) << text;
  const auto offset = static_cast<std::size_t>(object.data() - text.data());
  for (std::size_t i = 0; i < told.size(); ++i) {
    EXPECT_EQ(told[i].key, (*expected)[i].key) << text;
    EXPECT_EQ(told[i].escaped, (*expected)[i].escaped) << text;
    EXPECT_EQ(told[i].value, (*expected)[i].value) << text;
    EXPECT_EQ(told[i].begin, (*expected)[i].begin + offset) << text;
    EXPECT_EQ(told[i].end, (*expected)[i].end + offset) << text;
  }
}

// The outline must agree with the JSON check and the walks, because it does the work of both.
void expect_agreement(const std::string& text) {
  const auto outline = outline_json(text, "body");
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  const bool object = !json_fault(text) && begin != std::string::npos && text[begin] == '{';
  ASSERT_EQ(outline.has_value(), object) << text;
  if (!outline) return;
  expect_same(text, outline->members, text);
  const json_member* last = nullptr;
  for (const auto& member : outline->members) {
    if (member.key == "body") last = &member;
  }
  const bool open = last != nullptr && last->value.front() == '{';
  ASSERT_EQ(outline->opened != json_outline::none, open) << text;
  if (!open) return;
  EXPECT_EQ(&outline->members[outline->opened], last) << text;
  expect_same(text, outline->inner, last->value);
}

const std::vector<std::string> objects = {
    "{}",
    " { } ",
    R"({"body":{}})",
    R"({"a":1,"body":{"b":[1,{"c":{"d":2}},[]],"e":"x\"y\\","f":{}, "g" : null } , "h":{"i":{}}})",
    R"({"body":{"b":1},"body":2})",
    R"({"body":2,"body":{"b":1}})",
    R"({"body":{"b":1},"body":{"c":2,"c":3}})",
    R"({"body":[{"b":1},{"c":2}],"x":[[{"body":{"y":1}}]]})",
    R"({"x":{"body":{"y":1}},"body":{"z":{"body":{}}},"w":{"v":1}})",
    R"({"bod\u0079":{"a":1},"b\n":true,"":{"":false}})",
    R"({"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","n":-1.5e+3,"messages":[{"role":"user","content":"a long text with \u00e9, \ud83d\ude00 and \ud83d alone; é鲁迅"}],"t":0.0}})",
};

TEST(json_outline, agrees_with_the_check_and_the_walks) {
  for (const std::string& text : objects) {
    ASSERT_TRUE(outline_json(text, "body")) << text;
    expect_agreement(text);
  }
  for (const char* text : {"[]", "1", "\"x\"", "null", "", " ", "{", "{]", "{\"a\"}", "{\"a\":}",
                           "{\"a\":1,}", "{\"a\":1}}", "{\"a\":01}", "{\"a\":\"\x01\"}",
                           "{\"a\":\"\xC3\"}", "{,}", "{\"a\":[1,]}", "{\"a\":tru}"}) {
    EXPECT_FALSE(outline_json(text, "body")) << text;
    expect_agreement(text);
  }
  const std::string deep = "{\"a\":" + std::string(5000, '[') + std::string(5000, ']') + "}";
  EXPECT_TRUE(outline_json(deep, "body"));
}

// Valid texts with bytes removed, inserted or replaced.
TEST(json_outline, agrees_on_texts_that_are_nearly_good) {
  std::mt19937 random(7);
  constexpr std::string_view bytes = "{}[]\",:\\u0 19.-+eEtfn\n\x01\xC3\xA9 body";
  std::size_t good = 0;
  for (int round = 0; round < 60'000; ++round) {
    std::string text = objects[random() % objects.size()];
    for (std::size_t edits = 1 + random() % 3; edits > 0 && !text.empty(); --edits) {
      const std::size_t at = random() % text.size();
      const char byte = bytes[random() % bytes.size()];
      switch (random() % 3) {
        case 0:
          text.erase(at, 1 + random() % 4);
          break;
        case 1:
          text.insert(at, 1, byte);
          break;
        default:
          text[at] = byte;
      }
    }
    good += outline_json(text, "body") ? 1 : 0;
    ASSERT_NO_FATAL_FAILURE(expect_agreement(text));
  }
  EXPECT_GT(good, 1000U) << "most edits hit nothing but strings";
}

}  // namespace
}  // namespace sluice
