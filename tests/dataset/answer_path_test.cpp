#include "dataset/answer_path.hpp"

#include <gmock/gmock.h>

#include "json/text.hpp"

namespace sluice::dataset {
namespace {

using testing::HasSubstr;

std::string chat_of(const std::string& text) {
  return R"({"choices":[{"message":{"content":)" + json_quote(text) +
         R"(}}],"usage":{"total_tokens":7},"a b":[[1,"x"]],"none":null})";
}

found_value find(std::string_view path, const std::string& body) {
  const auto parsed = answer_path::parse(path);
  EXPECT_TRUE(parsed) << path;
  return parsed ? parsed->find(body) : found_value{};
}

TEST(answer_paths, run_in_the_body) {
  const std::string body = chat_of("hi");
  EXPECT_EQ(find(".usage.total_tokens", body).json(), "7");
  EXPECT_EQ(find(".choices[0].message.content", body).text(), "hi");
  EXPECT_EQ(find(R"(."a b"[0][1])", body).text(), "x");
  EXPECT_EQ(find(R"(."a b".[0].[0])", body).text(), "1");
  EXPECT_EQ(find(".usage", body).text(), R"({"total_tokens":7})");
  for (const char* path : {".none", ".choices[1].message", ".usage[0]", ".model.x", ".choices.x"}) {
    EXPECT_EQ(find(path, body).is, found_value::kind::nothing) << path;
    EXPECT_EQ(find(path, body).fault, "") << path;
    EXPECT_EQ(find(path, body).json(), "null") << path;
  }
}

TEST(answer_paths, are_refused_where_they_are_none) {
  for (const char* path : {"", "content", ".", "..a", ".a[", ".a[x]", ".a[-1]", ".a b", ".\"x",
                           ".a[]", "[0]", ".a[1]b", ".a\xFF"}) {
    EXPECT_FALSE(answer_path::parse(path)) << path;
  }
}

TEST(answer_paths, have_short_forms) {
  EXPECT_EQ(find(".content", chat_of("你好\n")).text(), "你好\n");
  EXPECT_EQ(find(".json.score", chat_of(R"({"score": 0.70, "tag":"a"})")).text(), "0.70");
  EXPECT_EQ(find(".json.tags[1]", chat_of(R"({"tags":["a","b"]})")).text(), "b");
  EXPECT_EQ(find(".json", chat_of(" [1, 2] ")).json(), "[1, 2]");
  EXPECT_EQ(find(".json.a", chat_of("```json\n{\"a\":true}\n```\n")).json(), "true");
  EXPECT_TRUE(answer_path::parse(".error")->is_error());
  EXPECT_EQ(find(R"(."content")", R"({"content":"own"})").text(), "own");
  EXPECT_EQ(find(".error.message", R"({"error":{"message":"m"}})").text(), "m");
}

TEST(answer_paths, say_what_the_answer_lacks) {
  EXPECT_THAT(find(".json.score", chat_of("It is 7.")).fault,
              HasSubstr("the answer is not JSON: "));
  EXPECT_EQ(find(".json.score", chat_of("{\"x\":1}")).fault, "the answer has no .json.score");
  EXPECT_EQ(find(".json.score", chat_of("{\"score\":null}")).fault,
            "the answer has no .json.score");
  EXPECT_EQ(find(".content", R"({"choices":[{"message":{"content":null}}]})").fault,
            "the answer has no text");
}

TEST(answer_texts, are_found_in_every_kind_of_reply) {
  EXPECT_EQ(answer_text(chat_of("")), "");
  EXPECT_EQ(answer_text(R"({"choices":[{"text":"t"}]})"), "t");
  EXPECT_EQ(answer_text(R"({"choices":[{"message":{"content":[{"type":"text","text":"a"},
                            {"type":"image"},{"type":"text","text":"b"}]}}]})"),
            "ab");
  EXPECT_EQ(answer_text(R"({"output":[{"type":"reasoning"},{"type":"message","content":[
                            {"type":"output_text","text":"o"}]}]})"),
            "o");
  EXPECT_EQ(answer_text(R"({"data":[{"embedding":[1]}]})"), std::nullopt);
  EXPECT_EQ(answer_text(R"("text")"), std::nullopt);
}

}  // namespace
}  // namespace sluice::dataset
