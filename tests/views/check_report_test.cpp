#include "views/check_report.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace sluice::cli {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;
using testing::Not;

checked_request request(std::uint64_t line, const std::string& model) {
  checked_request made;
  made.line = line;
  made.custom_id = "id \"" + std::to_string(line) + "\"";
  made.model = model;
  made.prompt = {.tokens = 100, .exact = true};
  made.encoding = vocabulary::o200k_base;
  made.most_completion_tokens = 50;
  made.prompt_cost = usd::parse("0.25");
  made.likely_cost = usd::parse("0.375");
  made.most_cost_at_standard = usd::parse("0.45");
  made.most_cost = usd::parse("0.5");
  return made;
}

checked_request unknown(std::uint64_t line) {
  checked_request made;
  made.line = line;
  made.model = "mystery\x1b";
  made.prompt = {.tokens = 7, .exact = false};
  made.unbounded = "says nowhere how long its reply may be";
  return made;
}

TEST(check_report, the_document_is_that_of_the_contract) {
  job_check told;
  told.add(request(1, "gpt-4o"));
  told.add(2, errc::invalid_json_line, "oops");
  told.add(request(3, "gpt-4o"));
  EXPECT_EQ(check_document({{"x.jsonl", told}}, {200, 0}),
            ordered_json::parse(R"({"jobs":[{"job":"x.jsonl","requests":3,
      "bad_lines":[{"line":2,"code":"invalid_json_line","message":"oops"}],
      "prompt_tokens":200,"max_completion_tokens":100,
      "models":{"gpt-4o":{"requests":2,"prompt_tokens":200}},
      "cost_usd":{"prompt":"0.5","likely":"0.75","at_most":"1"},"minutes_at_limit":0.01}]})"));
}

TEST(check_report, what_is_not_known_is_null) {
  job_check told;
  told.add(unknown(1));
  const auto job = check_document({{"x.jsonl", told}}, {})["jobs"][0];
  EXPECT_TRUE(job["max_completion_tokens"].is_null());
  EXPECT_TRUE(job["cost_usd"]["prompt"].is_null());
  EXPECT_TRUE(job["cost_usd"]["likely"].is_null());
  EXPECT_TRUE(job["cost_usd"]["at_most"].is_null());
  EXPECT_TRUE(job["minutes_at_limit"].is_null());
}

TEST(check_report, a_person_sees_what_is_rough_and_what_is_bad) {
  job_check told;
  told.add(request(1, "gpt-4o"));
  told.add(unknown(2));
  for (std::uint64_t line = 3; line < 30; ++line) told.add(line, errc::invalid_json_line, "oops\n");
  const std::string text = check_lines({{"x\x1b.jsonl", told}}, {200, 1000});
  EXPECT_THAT(text, HasSubstr("x\\x1b.jsonl\n  requests  29 (27 bad)\n"));
  EXPECT_THAT(text, HasSubstr("  prompts   ~107 tokens\n"));
  EXPECT_THAT(text, HasSubstr("200 requests and 1000 tokens a minute"));
  EXPECT_THAT(text, HasSubstr("~7  rough: its vocabulary is not known; no price\n"));
  EXPECT_THAT(text, HasSubstr("line 2: the request says nowhere how long its reply may be;"));
  EXPECT_THAT(text, HasSubstr("  27 lines (3, 4, 5, 6, 7, …): invalid_json_line: oops\\x0a\n"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(check_report, bad_lines_with_the_same_fault_are_shown_once) {
  job_check told;
  told.add(1, errc::invalid_json_line, "no object");
  told.add(2, errc::invalid_json_line, "other");
  told.add(4, errc::invalid_json_line, "no object");
  told.add(5, errc::invalid_request_line, "no object");
  for (std::uint64_t line = 10; line < 30; ++line) {
    told.add(line, errc::invalid_json_line, "oops " + std::to_string(line));
    told.add(line + 100, errc::invalid_json_line, "oops " + std::to_string(line));
  }
  const std::string text = check_lines({{"x.jsonl", told}}, {});
  EXPECT_THAT(text, HasSubstr("(44 bad)"));
  EXPECT_THAT(text, HasSubstr("\n  2 lines (1, 4): invalid_json_line: no object\n"
                              "  line 2: invalid_json_line: other\n"
                              "  line 5: invalid_request_line: no object\n"
                              "  2 lines (10, 110): invalid_json_line: oops 10\n"));
  EXPECT_THAT(text, HasSubstr("invalid_json_line: oops 26\n  and 6 more bad lines; see them with "
                              "--json\n"));
}

TEST(check_report, a_person_sees_what_the_costs_rest_on) {
  job_check told;
  told.add(request(1, "gpt-4o"));
  std::string text = check_lines({{"x.jsonl", told}}, {});
  EXPECT_THAT(text,
              HasSubstr("  cost      $0.375 likely, $0.50 at most ($0.25 for the prompts)\n"));
  EXPECT_THAT(text, HasSubstr("likely: replies of 338 tokens"));
  EXPECT_THAT(text, HasSubstr("every reply at its longest"));
  EXPECT_THAT(text, HasSubstr("$0.45 at most with --tier-default standard"));
  text = check_lines({{"x.jsonl", told, true}}, {});
  EXPECT_THAT(text, HasSubstr("likely: replies as long as those of the earlier run"));
}

TEST(check_report, a_line_for_each_request) {
  std::string lines;
  append_request_line(lines, request(1, "gpt-4o"));
  append_request_line(lines, unknown(2));
  EXPECT_EQ(lines,
            R"({"line":1,"custom_id":"id \"1\"","model":"gpt-4o","prompt_tokens":100,)"
            R"("encoding":"o200k_base"})"
            "\n"
            R"({"line":2,"custom_id":"","model":"mystery\u001b","prompt_tokens":7,"encoding":null})"
            "\n");
}

}  // namespace
}  // namespace sluice::cli
