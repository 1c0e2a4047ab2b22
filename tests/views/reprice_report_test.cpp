#include "views/reprice_report.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace sluice::cli {
namespace {

using testing::HasSubstr;

job_reprice some_change() {
  job_reprice found;
  repriced_results& known = found.models["gpt-4o"];
  known.add(usd::parse("0.5"), usd::parse("0.25"));
  known.add(std::nullopt, usd::parse("1"));
  repriced_results& gone = found.models["old\x1b"];
  for (int i = 0; i < 3; ++i) gone.add(usd::parse("2"), std::nullopt);
  found.total = known;
  found.total += gone;
  found.unpriced[{"old\x1b", "price"}] = {.requests = 3, .first = {{4, "a"}, {9, "b\n"}}};
  found.unreadable_lines = 1;
  return found;
}

TEST(reprice_report, the_document) {
  const std::string total = R"({"requests":5,"old_usd":"6.5","new_usd":"1.25",)"
                            R"("difference_usd":"-0.25","without_old":1,"without_new":3})";
  EXPECT_EQ(reprice_document({{"j.jsonl", some_change()}}).dump(),
            R"({"jobs":[{"job":"j.jsonl","models":{"gpt-4o":{"requests":2,"old_usd":"0.5",)"
            R"("new_usd":"1.25","difference_usd":"-0.25","without_old":1,"without_new":0},)"
            R"("old\u001b":{"requests":3,"old_usd":"6","new_usd":null,"difference_usd":null,)"
            R"("without_old":0,"without_new":3}},"total":)" +
                total +
                R"(,"unpriced":[{"model":"old\u001b","missing":"price","requests":3,)"
                R"("lines":[{"line":4,"custom_id":"a"},{"line":9,"custom_id":"b\n"}]}],)"
                R"("unreadable_lines":1}],"total":)" +
                total + "}");
}

TEST(reprice_report, the_lines) {
  EXPECT_EQ(reprice_lines({{"j.jsonl", some_change()}}),
            "j.jsonl: the cost of its results when they came, and by these prices\n"
            "  model    requests   old      new  difference\n"
            "  gpt-4o          2  $0.5    $1.25      -$0.25\n"
            "  old\\x1b         3    $6  unknown     unknown\n"
            "  total           5  $6.5    $1.25      -$0.25\n"
            "  left out of the difference: 1 results without an old cost\n"
            "  left out of the difference, because they cannot be priced now:\n"
            "    old\\x1b, no price for the model: a (line 4), b\\x0a (line 9), and 1 more\n"
            "  not counted: 1 output lines that are damaged, or being written\n");
}

TEST(reprice_report, several_jobs_have_a_sum) {
  job_reprice dearer;
  dearer.models["m"].add(usd::parse("1"), usd::parse("1.5"));
  dearer.total = dearer.models["m"];
  job_reprice equal;
  equal.models["m"].add(usd::parse("1"), usd::parse("1"));
  equal.total = equal.models["m"];
  const std::string lines = reprice_lines({{"a.jsonl", dearer}, {"b.jsonl", equal}});
  EXPECT_THAT(lines, HasSubstr("  m             1   $1  $1.5       +$0.5\n"));
  EXPECT_THAT(lines, HasSubstr("  m             1   $1   $1        none\n"));
  EXPECT_THAT(lines, HasSubstr("\nall jobs\n"
                               "  model  requests  old   new  difference\n"
                               "  total         2   $2  $2.5       +$0.5\n"));
  EXPECT_EQ(reprice_document({{"a", dearer}, {"b", equal}})["total"]["difference_usd"], "0.5");
}

TEST(reprice_report, a_job_without_results) {
  const std::string lines = reprice_lines({{"a.jsonl", {}}});
  EXPECT_THAT(lines, HasSubstr("total         0  unknown  unknown     unknown"));
}

}  // namespace
}  // namespace sluice::cli
