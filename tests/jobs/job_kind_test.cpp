#include "jobs/job_kind.hpp"

#include <gmock/gmock.h>

#include <string>

namespace sluice {
namespace {

using namespace std::string_literals;
using testing::HasSubstr;

TEST(foreign_file, is_named_with_what_to_do) {
  const std::string anthropic =
      R"({"custom_id":"a","params":{"model":"claude","max_tokens":5,"messages":[]}})"
      "\n";
  const std::string gemini = R"({"key":"r1","request":{"contents":[{"parts":[{"text":"hi"}]}]}})"
                             "\n";
  const std::string bedrock = R"({"recordId":"CALL0000001","modelInput":{"messages":[]}})"
                              "\n";
  const std::string result =
      R"({"id":"batch_req_1","custom_id":"a","response":{"status_code":200,"body":{}},"error":null})"
      "\n";
  std::string tar(300, 'x');
  tar.replace(257, 5, "ustar");
  const struct {
    const char* what;
    std::string text;
    const char* named;
    const char* advice;
  } rows[] = {
      {"gzip", "\x1f\x8b\x08\0\0"s, "gzip", ".gz"},
      {"zstd", "\x28\xb5\x2f\xfd"s, "zstd", ".zst"},
      {"bzip2", "BZh91AY&SY", "bzip2", "unpack"},
      {"xz",
       "\xfd"
       "7zXZ\0\0"s,
       "xz", "unpack"},
      {"zip, and with it a workbook", "PK\x03\x04\x14\0"s, "zip", "unpack"},
      {"tar", tar, "tar", "unpack"},
      {"Parquet", "PAR1\x15\x04"s, "Parquet", "export"},
      {"UTF-16 with its mark", "\xff\xfe{\0\"\0"s, "UTF-16 ", "iconv -f UTF-16 "},
      {"the other UTF-16 with its mark", "\xfe\xff\0{\0\""s, "UTF-16 ", "iconv"},
      {"UTF-16 without a mark", "{\0\"\0m\0"s, "UTF-16LE", "iconv -f UTF-16LE"},
      {"the other UTF-16 without a mark", "\0{\0\"\0m"s, "UTF-16BE", "iconv"},
      {"UTF-32", "\xff\xfe\0\0{\0\0\0"s, "UTF-32", "iconv"},
      {"UTF-32 without a mark", "{\0\0\0\"\0\0\0"s, "UTF-32LE", "iconv"},
      {"zero bytes", "{\"a\":\0\0\0\0}\n"s, "binary", "one JSON object a line"},
      {"a list over lines", "[\n  {\"model\":\"m\"},\n  {}\n]\n", "list", "jq -c '.[]'"},
      {"a list with each object on a line", "[\n{\"model\":\"m\"},\n{\"a\":1}\n]\n", "list", "jq"},
      {"a list on one line", R"([{"model":"m"},{"a":1}])", "list", "jq"},
      {"a list that begins behind blank lines", "\n \n[ {\"model\":\"m\"},\n{}]", "list", "jq"},
      {"pretty-printed", "{\n  \"model\": \"m\",\n  \"messages\": []\n}\n", "pretty-printed",
       "jq -c ."},
      {"pretty-printed with tabs", "{\r\n\t\"model\": \"m\"\r\n}\r\n", "pretty-printed", "jq"},
      {"half on the first line", "{\"model\": \"m\",\n \"messages\": []}\n", "pretty-printed",
       "jq"},
      {"a table", "id,prompt\n1,hello\n", "CSV", "--template"},
      {"a table with quotes", "\"id\";\"the prompt\"\r\n1;\"x\"\r\n", "CSV", "--template"},
      {"a table with tabs", "id\tprompt\n", "CSV", "--template"},
      {"HTML", "<!DOCTYPE html>\n<html>\n", "HTML", "JSON"},
      {"the line ends of old Macs",
       R"({"model":"m"})"
       "\r"
       R"({"model":"n"})"
       "\r",
       "carriage returns", "tr '\\r' '\\n'"},
      {"Anthropic's batches", anthropic + anthropic, "Anthropic", "/v1/chat/completions"},
      {"one line of them", anthropic, "Anthropic", "body"},
      {"Gemini's batches", gemini + gemini, "Gemini", "messages"},
      {"Gemini's bodies", R"({"contents":[{"parts":[{"text":"hi"}]}]})", "Gemini", "messages"},
      {"Bedrock's batches", bedrock, "Bedrock", "recordId"},
      {"a list inside of an object", R"({"requests":[{"custom_id":"a","params":{}}]})", "list",
       "jq -c '.requests[]'"},
      {"results", result + result, "result", "job"},
      {"the last line in part", anthropic + R"({"custom_id":"a","par)", "Anthropic", "body"},
  };
  for (const auto& row : rows) {
    const auto told = foreign_file(row.text);
    ASSERT_TRUE(told) << row.what;
    EXPECT_THAT(told->english, HasSubstr(row.named)) << row.what;
    EXPECT_THAT(told->english, HasSubstr(row.advice)) << row.what;
    EXPECT_EQ(told->english.find('\n'), std::string::npos) << row.what;
    EXPECT_EQ(told->chinese.find('\n'), std::string::npos) << row.what;
    EXPECT_NE(told->chinese, told->english) << row.what;
  }
}

TEST(foreign_file, what_may_be_a_job_is_left_to_its_lines) {
  const std::string good = R"({"model":"m","messages":[]})"
                           "\n";
  const std::string anthropic = R"({"custom_id":"a","params":{"model":"claude"}})"
                                "\n";
  for (const std::string& text : {""s,
                                  "\n \r\n"s,
                                  good,
                                  "nonsense\n"s,
                                  "nonsense, more nonsense!\n"s,
                                  "[]\n"s,
                                  "[1,2]\n"s,
                                  "{\n"s,
                                  "[\n"s,
                                  "{oops\n"s + good,
                                  "[{}]\n"s + good,
                                  "[\n"s + good.substr(1),
                                  "{\n"s + good,
                                  "id,prompt\n"s + good,
                                  anthropic + good,
                                  good + anthropic,
                                  "\"a\",\"b\"\n"s + good,
                                  "12\n"s,
                                  "\"text\"\n"s,
                                  R"({"params":{},"model":"m","messages":[]})"s,
                                  R"({"custom_id":"a","response":{},"body":{}})"s,
                                  "{\"model\":\"m\",\"messages\":[]"s,
                                  "{\"model\":\"m\",\n{\"model\":\"m\"}\n"s,
                                  "{}\rmore\n"s}) {
    EXPECT_FALSE(foreign_file(text))
        << text << ": " << foreign_file(text).value_or(wording()).english;
  }
}

}  // namespace
}  // namespace sluice
