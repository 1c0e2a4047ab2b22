#include "views/audit_report.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace sluice::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

job_audit some_excess() {
  job_audit found;
  model_audit& model = found.models["gpt-4o"];
  model.requests = 3;
  model.audited = 2;
  model.prompt = {120, 100};
  model.completion = {1500, 1000};
  model.excess_tokens = 520;
  model.excess = usd::parse("0.00505");
  found.worst.push_back({.custom_id = "a\x1b",
                         .line = 7,
                         .model = "gpt-4o",
                         .prompt = {},
                         .completion = audited_count{1400, 900},
                         .excess_tokens = 500,
                         .excess = usd::parse("0.005")});
  model.repeated = 900;
  model.unread = 800;
  model.unread_tokens = 1'228'800;
  model.unread_cost = usd::parse("1.536");
  found.openings.push_back({.custom_id = "c\x1b",
                            .line = 8,
                            .model = "gpt-4o",
                            .requests = 799,
                            .tokens = 1'227'264,
                            .cost = usd::parse("1.53408")});
  found.openings.push_back(
      {.custom_id = "d", .line = 9, .model = "m", .requests = 1, .tokens = 1536, .cost = {}});
  found.skipped = {{"prompt_not_text", 1}};
  return found;
}

TEST(audit_report, the_document) {
  EXPECT_EQ(
      audit_document("j.jsonl", some_excess()).dump(),
      R"({"job":"j.jsonl","models":{"gpt-4o":{"requests":3,"audited":2,)"
      R"("prompt":{"reported":120,"counted":100},)"
      R"("completion":{"reported":1500,"counted":1000},)"
      R"("excess_tokens":520,"excess_usd":"0.00505","cache":{"repeated":900,"unread":800,)"
      R"("unread_tokens":1228800,"unread_usd":"1.536"}}},)"
      R"("worst":[{"custom_id":"a\u001b","line":7,"model":"gpt-4o","prompt":null,)"
      R"("completion":{"reported":1400,"counted":900},"reported":1400,"counted":900,)"
      R"("excess_tokens":500,"excess_usd":"0.005"}],"openings":[{"custom_id":"c\u001b",)"
      R"("line":8,"model":"gpt-4o","requests":799,"unread_tokens":1227264,"unread_usd":"1.53408"},)"
      R"({"custom_id":"d","line":9,"model":"m","requests":1,"unread_tokens":1536,"unread_usd":null}],)"
      R"("skipped":{"prompt_not_text":1}})");
}

TEST(audit_report, the_lines) {
  EXPECT_EQ(
      audit_lines("j.jsonl", some_excess()),
      "j.jsonl: reported usage against the model's own tokenizer\n"
      "  gpt-4o: 2 of 3 replies counted\n"
      "    prompt      120 reported, 100 counted (+20.0 %)\n"
      "    completion  1,500 reported, 1,000 counted (+50.0 %)\n"
      "    too much    520 tokens, $0.00505\n"
      "    cache       900 prompts repeat a long opening; 800 report nothing read from a "
      "cache: at least 1,228,800 tokens, $1.536\n"
      "  the worst requests:\n"
      "    a\\x1b (line 7): 1,400 reported, 900 counted, 500 too many, $0.005\n"
      "  prompts with the same opening of 1,024 tokens or more, and nothing read from a "
      "cache:\n"
      "    c\\x1b (line 8) and 798 more: at least 1,227,264 tokens, $1.53408 more than from a "
      "cache\n"
      "    d (line 9): at least 1,536 tokens, at an unknown price\n"
      "    This proves nothing by itself. It may mean that the relay keeps the discount, or "
      "that\n"
      "    it sends requests to several accounts, each with its own cache. It may also mean "
      "that\n"
      "    the relay does not report what was read, that the model caches only what a request\n"
      "    marks, or that the provider had dropped it. Compare the bill with the cost.\n"
      "  not counted:\n"
      "    1 prompts with images, audio or files\n");
}

TEST(audit_report, a_model_without_a_price_and_one_that_was_not_counted) {
  job_audit found;
  found.models["a"] = {.requests = 1,
                       .audited = 1,
                       .prompt = {10, 8},
                       .completion = {},
                       .excess_tokens = 2,
                       .excess = {}};
  found.models["b"].requests = 4;
  EXPECT_EQ(audit_document("j", found)["models"]["a"]["excess_usd"], nullptr);
  EXPECT_THAT(audit_lines("j", found),
              AllOf(HasSubstr("2 tokens, at an unknown price"), Not(HasSubstr("completion")),
                    HasSubstr("b: 0 of 4 replies counted\n")));
  EXPECT_THAT(audit_lines("j", {}), HasSubstr("no replies yet"));
}

}  // namespace
}  // namespace sluice::cli
