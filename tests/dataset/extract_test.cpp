#include "dataset/extract.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "dataset/csv_table.hpp"
#include "dataset/reading.hpp"
#include "jobs/result_line.hpp"
#include "json/text.hpp"

namespace sluice::dataset {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::string success(const std::string& id, const std::string& text) {
  result done;
  done.custom_id = id;
  done.line = 1;
  done.attempts = 1;
  done.model = "m";
  done.digest = std::string(32, 'a');
  reply whole;
  whole.http_status = 200;
  whole.body = R"({"choices":[{"message":{"content":)" + json_quote(text) + "}}]}";
  whole.usage = token_usage{.prompt_tokens = 5, .completion_tokens = 7};
  done.outcome = whole;
  return result_line(done, usd::parse("0.0012"), false);
}

std::string failed(const std::string& id, int status, const std::string& body) {
  result done;
  done.custom_id = id;
  done.line = 1;
  done.digest = std::string(32, 'a');
  failure why;
  why.http_status = status;
  why.body = body;
  done.outcome = why;
  return result_line(done, std::nullopt, false);
}

extract_options answer(const std::string& path = ".content") {
  return {.columns = {{"answer", *answer_path::parse(path)}}};
}

class extract : public testing::Test {
 protected:
  void results(const std::string& output, const std::string& errors = {}) {
    dir_.write("job.output.jsonl", output);
    dir_.write("job.errors.jsonl", errors);
  }
  std::string extracted(const std::string& data, const extract_options& options = answer(),
                        const std::string& name = "data.csv", const std::string& into = "out.csv") {
    const auto files = system_files();
    done_ = extract_rows(
        *files,
        {dir_.write(name, data), dir_ / "job.output.jsonl", dir_ / "job.errors.jsonl", dir_ / into},
        {}, options);
    return dir_.read(into);
  }
  test::temp_dir dir_;
  extracted_rows done_;
};

TEST_F(extract, adds_answers_in_the_order_of_the_data) {
  results(success("row-2", "two, \"2\"") + success("row-1", "one"));
  EXPECT_EQ(extracted("id,text\n007,\"a\nb\"\n1.50, x \n"),
            "id,text,answer,error\n007,\"a\nb\",one,\n1.50,\" x \",\"two, \"\"2\"\"\",\n");
  EXPECT_EQ(done_.rows, 2U);
  EXPECT_EQ(done_.answered, 2U);
}

TEST_F(extract, marks_failures_and_missing_results) {
  results(success("row-1", "one"), failed("row-2", 400, R"({"error":{"message":"too long"}})"));
  EXPECT_EQ(extracted("t\na\nb\nc\n"), "t,answer,error\na,one,\nb,,400: too long\nc,,no result\n");
  EXPECT_EQ(done_.answered, 1U);
  EXPECT_EQ(done_.failed, 1U);
  EXPECT_EQ(done_.no_result, 1U);
}

TEST_F(extract, takes_the_output_before_the_errors_and_a_later_line_before_an_earlier) {
  results(success("row-1", "one"), failed("row-1", 500, "old") + failed("row-2", 500, "old") +
                                       failed("row-2", 503, R"({"error":{"message":"new"}})"));
  EXPECT_EQ(extracted("t\na\nb\n"), "t,answer,error\na,one,\nb,,503: new\n");
}

TEST_F(extract, joins_by_a_column) {
  results(success("b", "B") + success("a\"", "A"));
  extract_options options = answer();
  options.id_column = "key";
  EXPECT_EQ(extracted("key,t\n\"a\"\"\",1\nb,2\n", options),
            "key,t,answer,error\n\"a\"\"\",1,A,\nb,2,B,\n");
  EXPECT_THAT(refusal_of([&] { extracted("key\nb\nb\n", options); }),
              HasSubstr("row 2 (line 3) has the same id as an earlier row, b"));
  options.id_column = "kee";
  EXPECT_THAT(refusal_of([&] { extracted("key\nb\n", options); }),
              HasSubstr("--id kee: names no column of"));
}

TEST_F(extract, counts_results_of_no_row_and_refuses_data_of_another_job) {
  results(success("row-1", "one") + success("row-9", "nine"));
  extracted("t\na\n");
  EXPECT_EQ(done_.other_results, 1U);
  results(success("x", "one"));
  EXPECT_THAT(refusal_of([&] { extracted("t,id\na,x\n", answer(), "data.csv", "new.csv"); }),
              HasSubstr("none of the 1 results belongs to a row"));
}

TEST_F(extract, marks_an_answer_that_lacks_what_a_path_expects) {
  results(success("row-1", R"({"score":3})") + success("row-2", "no"));
  EXPECT_THAT(extracted("t\na\nb\n", answer(".json.score")),
              HasSubstr("a,3,\nb,,the answer is not JSON: "));
  EXPECT_EQ(done_.failed, 1U);
}

TEST_F(extract, adds_tokens_and_cost) {
  results(success("row-1", "one"), failed("row-2", 400, "{}"));
  extract_options options = answer();
  options.usage = true;
  const std::string table = extracted("t\na\nb\n", options);
  EXPECT_THAT(table, HasSubstr("t,answer,error,prompt_tokens,cached_tokens,completion_tokens,"
                               "reasoning_tokens,cost_usd\na,one,,5,0,7,0,0.0012\n"));
  const json row = json::parse(extracted("t\na\n", options, "data.csv", "out.jsonl"));
  EXPECT_EQ(row["prompt_tokens"], 5);
  EXPECT_EQ(row["cost_usd"], "0.0012");
}

TEST_F(extract, keeps_objects_as_they_are_written) {
  results(success("row-1", R"({"n":[1,2]})"), failed("row-2", 400, "{}"));
  EXPECT_EQ(extracted("{\"a\": 1.50,\"b\":\"\\u4f60\"}\n{}\n", answer(".json.n"), "data.jsonl",
                      "out.jsonl"),
            "{\"a\": 1.50,\"b\":\"\\u4f60\",\"answer\":[1,2],\"error\":\"\"}\n"
            "{\"answer\":null,\"error\":\"400: \"}\n");
}

TEST_F(extract, makes_objects_of_rows_and_rows_of_objects) {
  results(success("row-1", "one"));
  EXPECT_EQ(extracted("a,b\n\"x\"\"\",007\n", answer(), "data.csv", "out.jsonl"),
            "{\"a\":\"x\\\"\",\"b\":\"007\",\"answer\":\"one\",\"error\":\"\"}\n");
  EXPECT_EQ(extracted("{\"a\":1,\"b\":\"x,y\"}\n{\"c\":{\"k\":2},\"a\":null}\n", answer(),
                      "data.jsonl", "new.csv"),
            "a,b,c,answer,error\n1,\"x,y\",,one,\n,,\"{\"\"k\"\":2}\",,no result\n");
}

TEST_F(extract, keeps_line_ends_and_the_byte_order_mark) {
  results(success("row-1", "one"));
  EXPECT_EQ(extracted("\xEF\xBB\xBFt\r\na\r\n"), "\xEF\xBB\xBFt,answer,error\r\na,one,\r\n");
  // The command replaces its own table.
  EXPECT_THAT(extracted("\xEF\xBB\xBFt\r\na\r\n"), HasSubstr("a,one,"));
}

TEST_F(extract, refuses_names_that_are_there) {
  results(success("row-1", "one"));
  EXPECT_THAT(refusal_of([&] { extracted("answer\na\n"); }),
              HasSubstr("has a column 'answer' already; give the new column another name"));
  EXPECT_THAT(refusal_of([&] { extracted("error\na\n"); }),
              HasSubstr("name the column of failures otherwise, as with --column problem=.error"));
  extract_options options = answer();
  options.columns.push_back({"problem", *answer_path::parse(".error")});
  EXPECT_EQ(extracted("error\na\nb\n", options), "error,answer,problem\na,one,\nb,,no result\n");
  options.columns.push_back({"answer", *answer_path::parse(".usage")});
  EXPECT_THAT(refusal_of([&] { extracted("t\na\n", options); }),
              HasSubstr("--column answer: two new columns would have that name"));
}

TEST_F(extract, replaces_only_its_own_table) {
  results(success("row-1", "one"));
  extracted("t\na\n");
  extracted("t\na\n", answer(".usage"));  // other columns, but the same data
  for (const std::string foreign :
       {"t\nmine\n", "t,answer\nby hand,x\n", "a,error\nx,\n", "error\n"}) {
    dir_.write("out.csv", foreign);
    EXPECT_THAT(refusal_of([&] { extracted("t\na\n"); }), HasSubstr("so it is not replaced"));
    EXPECT_EQ(dir_.read("out.csv"), foreign);
  }
  EXPECT_THAT(refusal_of([&] { extracted("t\na\n", answer(), "data.csv", "data.csv"); }),
              HasSubstr("which this command reads"));
  EXPECT_THAT(refusal_of([&] { extracted("t\na\n", answer(), "data.csv", "out.xlsx"); }),
              HasSubstr("a name that ends with .csv or .jsonl"));
}

TEST_F(extract, replaces_only_its_own_objects) {
  results(success("row-1", "one"));
  const std::string rows = "{\"id\":1,\"t\":\"a\"}\n{\"u\":2}\n";
  for (const auto& [name, data] :
       {std::pair("data.csv", std::string("id,t\n1,a\n")), std::pair("data.jsonl", rows)}) {
    dir_.write("out.jsonl", "");
    const std::string table = extracted(data, answer(), name, "out.jsonl");
    extracted(data, answer(".usage"), name, "out.jsonl");  // other columns, but the same data
    EXPECT_EQ(extracted(data, answer(), name, "out.jsonl"), table);
    for (const std::string& foreign :
         {success("other", "paid"), failed("other", 400, "{}"), success("", "without t"),
          std::string("{\"t\":\"a\",\"error\":\"\"}\n"),
          std::string("{\"id\":1,\"t\":\"a\",\"error\":null}\n"),
          std::string("{\"id\":1,\"t\":\"a\"}\n"), std::string("by hand")}) {
      dir_.write("out.jsonl", foreign);
      EXPECT_THAT(refusal_of([&] { extracted(data, answer(), name, "out.jsonl"); }),
                  HasSubstr("so it is not replaced"));
      EXPECT_EQ(dir_.read("out.jsonl"), foreign);
    }
  }
}

// All columns of the data, and the one of failures, are members of a result, too.
TEST_F(extract, replaces_no_results_whose_members_are_columns) {
  results(success("row-1", "one"));
  const std::string foreign = success("other", "paid");
  extract_options options = answer();
  options.columns.push_back({"id", *answer_path::parse(".error")});
  for (const auto& [data, chosen] :
       {std::pair("id\n1\n", answer()), std::pair("custom_id\n1\n", options)}) {
    dir_.write("out.jsonl", foreign);
    EXPECT_THAT(refusal_of([&] { extracted(data, chosen, "data.csv", "out.jsonl"); }),
                HasSubstr("so it is not replaced"));
    EXPECT_EQ(dir_.read("out.jsonl"), foreign);
  }
}

TEST_F(extract, replaces_its_table_of_data_that_are_results) {
  const std::string data = success("row-1", "an answer to judge");
  results(success("row-1", "good"));
  extract_options options = answer();
  options.columns.push_back({"problem", *answer_path::parse(".error")});
  const std::string table = extracted(data, options, "data.jsonl", "out.jsonl");
  EXPECT_THAT(table, HasSubstr("\"answer\":\"good\",\"problem\":\"\"}"));
  EXPECT_EQ(extracted(data, options, "data.jsonl", "out.jsonl"), table);
  dir_.write("out.jsonl", data);
  EXPECT_THAT(refusal_of([&] { extracted(data, options, "data.jsonl", "out.jsonl"); }),
              HasSubstr("so it is not replaced"));
}

TEST_F(extract, checks_the_target_before_a_run_by_the_first_object) {
  const auto files = system_files();
  dir_.write("out.jsonl", success("other", "paid"));
  const extract_files names{dir_.write("data.jsonl", "{\"t\":1}\n"), dir_ / "job.output.jsonl",
                            dir_ / "job.errors.jsonl", dir_ / "out.jsonl"};
  EXPECT_THAT(refusal_of([&] { require_extract_target(*files, names, {}, answer()); }),
              HasSubstr("so it is not replaced"));
  dir_.write("out.jsonl", "{\"t\":1,\"answer\":\"x\",\"error\":\"\"}\n");
  EXPECT_EQ(refusal_of([&] { require_extract_target(*files, names, {}, answer()); }), "");
}

TEST_F(extract, replaces_a_table_whose_names_contain_line_breaks) {
  results(success("row-1", "one"));
  const std::string data = "id,\"Review\ntext\"\r\n1,a\r\n";
  const std::string table = extracted(data);
  EXPECT_EQ(table, "id,\"Review\ntext\",answer,error\r\n1,a,one,\r\n");
  EXPECT_EQ(extracted(data), table);
  extract_options options = answer();
  options.columns.front().name = "in\ntwo \"lines\"";
  extracted(data, options);
  EXPECT_EQ(extracted(data), table);
  dir_.write("out.csv", "id,\"Review\ntext\",mine\r\n1,a,\",error,\"\r\n");
  EXPECT_THAT(refusal_of([&] { extracted(data); }), HasSubstr("so it is not replaced"));
}

TEST_F(extract, replaces_objects_of_any_length) {
  results(success("row-1", "one"));
  const std::string data = "{\"t\":\"" + std::string(std::size_t{5} << 20, 'x') + "\"}\n";
  const std::string table = extracted(data, answer(), "data.jsonl", "out.jsonl");
  EXPECT_EQ(extracted(data, answer(), "data.jsonl", "out.jsonl"), table);
}

TEST_F(extract, drops_a_torn_line_and_refuses_a_damaged_one) {
  results(success("row-1", "one") + R"({"id":"batch_req_)");
  EXPECT_EQ(extracted("t\na\n"), "t,answer,error\na,one,\n");
  results("{\"x\":1}\n" + success("row-1", "one"));
  EXPECT_THAT(refusal_of([&] { extracted("t\na\n"); }), HasSubstr("line 1 is damaged"));
}

TEST_F(extract, has_no_result_before_the_first_run) {
  EXPECT_EQ(extracted("t\na\n"), "t,answer,error\na,,no result\n");
}

// Results in any order. Together they are longer than the part of a file that is kept in memory.
TEST_F(extract, finds_long_results_in_any_order) {
  std::string output;
  std::string data = "t\n";
  std::string expected = "t,answer,error\n";
  constexpr int rows = 300;
  for (int i = 1; i <= rows; ++i) {
    const int row = (i * 7) % rows + 1;
    output += success("row-" + std::to_string(row),
                      std::string(static_cast<std::size_t>(row % 7 == 0 ? 400'000 : 10), 'x') +
                          std::to_string(row));
    data += std::to_string(i) + "\n";
    expected += std::to_string(i) + "," +
                std::string(static_cast<std::size_t>(i % 7 == 0 ? 400'000 : 10), 'x') +
                std::to_string(i) + ",\n";
  }
  results(output);
  EXPECT_TRUE(extracted(data) == expected);
}

}  // namespace
}  // namespace sluice::dataset
