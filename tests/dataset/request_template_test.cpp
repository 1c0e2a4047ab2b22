#include "dataset/request_template.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "dataset/reading.hpp"
#include "json/text.hpp"

namespace sluice::dataset {
namespace {

using testing::HasSubstr;

class request_template_test : public testing::Test {
 protected:
  // The body that the template makes of each row.
  std::vector<std::string> bodies(const std::string& body, const std::string& data,
                                  const std::string& name = "data.csv",
                                  folder_files* files = nullptr) {
    request_template made("t.json", body);
    const auto table = open_table(dir_.write(name, data), {});
    std::vector<std::string> all;
    for (table_row row; table->next(row);) {
      if (all.empty()) made.bind(*table, row);
      made.append_body(all.emplace_back(), *table, row, files);
      EXPECT_EQ(json_fault(all.back()), std::nullopt) << all.back();
    }
    return all;
  }
  test::temp_dir dir_;
};

TEST_F(request_template_test, puts_cells_into_strings) {
  EXPECT_THAT(bodies(R"({"m":"{{model}}","t":["Translate: {{source text}}, {{ id }}!"]})",
                     "id,source text,model\n1,\"say \"\"hi\"\"\n\\ 你好\",gpt\n"),
              testing::ElementsAre(R"({"m":"gpt","t":["Translate: say \"hi\"\n\\ 你好, 1!"]})"));
}

TEST_F(request_template_test, never_expands_a_value_again) {
  EXPECT_THAT(bodies(R"({"t":"{{a}}{{b}}"})", "a,b\n{{b}},\"}} {{a\"\n"),
              testing::ElementsAre(R"({"t":"{{b}}}} {{a"})"));
}

TEST_F(request_template_test, keeps_other_braces) {
  EXPECT_THAT(bodies(R"({"t":"{a} { {{ }} {{}} }} {{{a}}} {{","u":{"v":{}}})", "a\nX\n"),
              testing::ElementsAre(R"({"t":"{a} { {{ }} {{}} }} {X} {{","u":{"v":{}}})"));
}

TEST_F(request_template_test, keeps_the_template_byte_for_byte) {
  const std::string body = R"({"a" : 1.50, "t":"\u4f60\/\"{{x}}\"", "n":[1e5 , null]})";
  EXPECT_THAT(bodies(body, "x\ny\n"),
              testing::ElementsAre(R"({"a" : 1.50, "t":"\u4f60\/\"y\"", "n":[1e5 , null]})"));
}

TEST_F(request_template_test, finds_a_name_that_is_written_with_escapes) {
  EXPECT_THAT(bodies(R"({"t":"{{\u540d \"x\"}}"})", "\"名 \"\"x\"\"\"\n1\n"),
              testing::ElementsAre(R"({"t":"1"})"));
}

TEST_F(request_template_test, names_a_missing_column_and_the_row) {
  EXPECT_THAT(refusal_of([&] { bodies(R"({"t":"{{txt}}"})", "id,text\n1,a\n"); }),
              HasSubstr("t.json: {{txt}} names no column of "));
  EXPECT_THAT(refusal_of([&] { bodies(R"({"t":"{{txt}}"})", "id,text\n1,a\n"); }),
              HasSubstr("row 1 (line 2) has id, text"));
  EXPECT_THAT(refusal_of([&] {
                bodies(R"({"t":"{{b}}"})", "{\"a\":1,\"b\":2}\n{\"a\":1}\n", "data.jsonl");
              }),
              HasSubstr("row 2 has no column 'b', which the template names"));
}

TEST_F(request_template_test, refuses_a_placeholder_in_the_name_of_a_member) {
  EXPECT_THAT(refusal_of([&] { bodies(R"({"{{a}}":"x"})", "a\n1\n"); }),
              HasSubstr("a placeholder stands in the name of a member"));
}

TEST_F(request_template_test, takes_values_of_json_as_text) {
  EXPECT_THAT(bodies(R"({"t":"{{a}} {{b}} {{c}}."})",
                     "{\"a\":\"x\\u00e9\",\"b\":{\"k\":\"v\"},\"c\":null}\n", "data.jsonl"),
              testing::ElementsAre(R"({"t":"x\u00e9 {\"k\":\"v\"} ."})"));
}

TEST_F(request_template_test, puts_files_in_as_data_urls) {
  dir_.write("a.png", std::string_view("\x89PNG\r\n\x1A\n\0", 9));
  folder_files files(dir_.path(), 1000);
  EXPECT_TRUE(request_template("t.json", R"({"u":"{{file:p}}"})").has_files());
  EXPECT_FALSE(request_template("t.json", R"({"u":"{{p}}"})").has_files());
  EXPECT_THAT(bodies(R"({"u":"{{file:p}}"})", "p\na.png\n", "data.csv", &files),
              testing::ElementsAre(R"({"u":"data:image/png;base64,iVBORw0KGgoA"})"));
  EXPECT_THAT(
      refusal_of([&] { bodies(R"({"u":"{{file:p}}"})", "p\n../a.png\n", "data.csv", &files); }),
      HasSubstr("row 1 (line 2), column 'p': the file '../a.png' leads out of --files with .."));
}

}  // namespace
}  // namespace sluice::dataset
