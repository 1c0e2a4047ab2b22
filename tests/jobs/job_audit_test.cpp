#include "jobs/job_audit.hpp"

#include <gmock/gmock.h>

#include <string>

#include "jobs/job_line.hpp"
#include "jobs/result_line.hpp"
#include "sluice/error.hpp"
#include "support/temp_dir.hpp"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::Pair;
using testing::UnorderedElementsAre;

std::string job_line(const std::string& id, const std::string& model, const std::string& prompt) {
  return R"({"custom_id":")" + id + R"(","model":")" + model +
         R"(","messages":[{"role":"user","content":")" + prompt + R"("}]})" + "\n";
}

// A job, and an output file with the usages that a relay reported.
class job_audit_files : public testing::Test {
 protected:
  job_files files() const {
    return {folder_ / "j.jsonl", folder_ / "j.output.jsonl", folder_ / "j.errors.jsonl",
            folder_ / "j.totals.json", folder_ / "j.state"};
  }

  // Adds an output line for the request. The answer is "hi", one token.
  void answer(const std::string& line, std::uint64_t number,
              const std::optional<token_usage>& usage,
              const std::vector<rejected_reply>& rejected = {}) {
    const auto asked = parse_job_line(line.substr(0, line.size() - 1), number, lines_);
    ASSERT_TRUE(asked);
    result told;
    told.line = number;
    told.custom_id = asked->custom_id;
    told.model = asked->model;
    told.digest = asked->digest;
    told.attempts = 1;
    told.started_at = started_at_;
    told.latency_ms = 1000;
    started_at_ += 2;
    reply whole;
    whole.body = R"({"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]})";
    whole.usage = usage;
    told.outcome = whole;
    output_ += result_line(told, std::nullopt, false, {}, {}, rejected);
  }

  job_audit audit(const std::string& job, std::size_t worst = 10) {
    folder_.write("j.jsonl", job);
    folder_.write("j.output.jsonl", output_);
    return audit_job(files(), lines_, prices_, worst);
  }

  test::temp_dir folder_;
  job_options lines_;
  relay_prices prices_{price_table::built_in()};
  std::string output_;
  double started_at_ = 1'800'000'000;  // start time of the next reply
};

TEST_F(job_audit_files, replies_are_matched_to_their_requests_in_any_order) {
  const std::string a = job_line("a", "gpt-4o", "hi");
  const std::string b = job_line("b", "gpt-4o", "hi");
  const std::string c = job_line("c", "gpt-4", "hi");
  answer(c, 3, token_usage{8, 0, 1, 0});
  answer(b, 2, token_usage{108, 0, 2, 0});
  answer(a, 1, token_usage{8, 0, 52, 0});
  const auto found = audit(a + b + c);
  ASSERT_EQ(found.models.size(), 2U);
  const auto& model = found.models.at("gpt-4o");
  EXPECT_EQ(model.requests, 2U);
  EXPECT_EQ(model.audited, 2U);
  EXPECT_EQ(model.prompt.reported, 116);
  EXPECT_EQ(model.prompt.counted, 16);
  EXPECT_EQ(model.excess_tokens, 150);
  // 100 tokens at 2.50 and 50 at 10 USD per million.
  EXPECT_EQ(model.excess->to_string(), "0.00075");
  EXPECT_EQ(found.models.at("gpt-4").excess_tokens, 0);
  ASSERT_EQ(found.worst.size(), 2U);
  EXPECT_EQ(found.worst[0].custom_id, "a");  // fewer tokens, but a higher cost
  EXPECT_EQ(found.worst[0].line, 1U);
  EXPECT_EQ(found.worst[1].custom_id, "b");
  EXPECT_TRUE(found.skipped.empty());
}

TEST_F(job_audit_files, only_so_many_of_the_worst_are_kept) {
  std::string job;
  for (int i = 1; i <= 50; ++i) {
    const std::string line = job_line("r" + std::to_string(i), "gpt-4o", "hi");
    job += line;
    answer(line, static_cast<std::uint64_t>(i), token_usage{8 + (i * 7) % 51, 0, 1, 0});
  }
  const auto found = audit(job, 3);
  const auto excess = [](const audit_finding& one) { return one.excess_tokens; };
  ASSERT_EQ(found.worst.size(), 3U);
  EXPECT_THAT((std::vector{excess(found.worst[0]), excess(found.worst[1]), excess(found.worst[2])}),
              ElementsAre(50, 49, 48));
  EXPECT_TRUE(audit(job, 0).worst.empty());
}

TEST_F(job_audit_files, what_cannot_be_held_against_its_request_is_skipped_with_a_reason) {
  const std::string same = job_line("same", "gpt-4o", "hi");
  const std::string other = job_line("other", "some-model", "hi");
  answer(same, 1, token_usage{8, 0, 1, 0});
  answer(job_line("changed", "gpt-4o", "before"), 2, token_usage{800, 0, 1, 0});
  answer(job_line("gone", "gpt-4o", "hi"), 3, token_usage{800, 0, 1, 0});
  answer(other, 4, token_usage{800, 0, 1, 0});
  answer(job_line("untold", "gpt-4o", "hi"), 5, std::nullopt);
  output_ += R"({"id":"batch_req_1","custom_id":"to)";  // an incomplete line: a run is writing
  const auto found = audit(same + job_line("changed", "gpt-4o", "after") + other +
                           job_line("untold", "gpt-4o", "hi") + "no line\n");
  EXPECT_THAT(found.skipped, UnorderedElementsAre(
                                 Pair("request_changed_or_gone", 2), Pair("unknown_vocabulary", 1),
                                 Pair("no_reported_usage", 1), Pair("unreadable_line", 1)));
  EXPECT_EQ(found.models.at("gpt-4o").requests, 4U);
  EXPECT_EQ(found.models.at("gpt-4o").audited, 1U);
  EXPECT_EQ(found.models.at("gpt-4o").excess_tokens, 0);
}

TEST_F(job_audit_files, the_prompt_after_a_rejected_reply_may_be_longer_than_in_the_job) {
  const std::string told = job_line("told", "gpt-4o", "hi");
  const std::string other = job_line("other", "some-model", "hi");
  answer(told, 1, token_usage{108, 0, 52, 0}, {rejected_reply{}});
  answer(other, 2, token_usage{800, 0, 1, 0}, {rejected_reply{}});
  const auto found = audit(told + other);
  EXPECT_THAT(found.skipped,
              UnorderedElementsAre(Pair("rejected_reply", 2), Pair("prompt_extended", 1),
                                   Pair("unknown_vocabulary", 1)));
  const auto& model = found.models.at("gpt-4o");
  EXPECT_EQ(model.audited, 1U);
  EXPECT_EQ(model.prompt.reported, 0);
  EXPECT_EQ(model.completion.reported, 52);
  EXPECT_EQ(model.excess_tokens, 50) << "of the completion alone";
}

TEST_F(job_audit_files, without_a_price_the_excess_has_no_cost) {
  prices_ = relay_prices();
  const std::string line = job_line("a", "gpt-4o", "hi");
  answer(line, 1, token_usage{20, 0, 1, 0});
  const auto found = audit(line);
  EXPECT_EQ(found.models.at("gpt-4o").excess_tokens, 12);
  EXPECT_FALSE(found.models.at("gpt-4o").excess);
  ASSERT_EQ(found.worst.size(), 1U);
  EXPECT_FALSE(found.worst[0].excess);
}

TEST_F(job_audit_files, lines_are_completed_as_the_run_did) {
  const std::string line = "{\"prompt\":\"hi\"}\n";
  lines_.model = "gpt-4o";
  answer(line, 1, token_usage{8, 0, 1, 0});
  EXPECT_EQ(audit(line).models.at("gpt-4o").audited, 1U);
  lines_.system = "Be brief.";
  EXPECT_EQ(audit(line).skipped.at("request_changed_or_gone"), 1U);
}

std::string long_prompt(const std::string& end) {
  std::string text;
  for (int i = 0; i < 1500; ++i) text += i % 7 < 3 ? "apple " : "river ";
  return text + end;
}

TEST_F(job_audit_files, a_repeated_opening_without_a_cache_is_found) {
  std::string job;
  std::vector<std::string> lines;
  for (int i = 0; i < 6; ++i) {
    lines.push_back(job_line("r" + std::to_string(i), "gpt-4o", long_prompt(std::to_string(i))));
    job += lines.back();
  }
  answer(lines[0], 1, token_usage{1510, 0, 1, 0});
  answer(lines[1], 2, token_usage{1510, 1408, 1, 0});
  answer(lines[2], 3, token_usage{1510, 0, 1, 0});
  answer(lines[3], 4, std::nullopt);
  answer(lines[4], 5, token_usage{1510, 0, 1, 0});
  started_at_ += 1000;  // the next reply comes too late
  answer(lines[5], 6, token_usage{1510, 0, 1, 0});
  const auto found = audit(job);
  const auto& model = found.models.at("gpt-4o");
  EXPECT_EQ(model.repeated, 3U);
  EXPECT_EQ(model.unread, 2U);
  EXPECT_GE(model.unread_tokens, 2 * 1200);
  EXPECT_LE(model.unread_tokens, 2 * 1510);
  const usd discount = usd::from_units(usd::parse("0.00000125")->count());  // per token
  EXPECT_EQ(model.unread_cost->to_string(), (discount * model.unread_tokens).to_string());
  ASSERT_EQ(found.openings.size(), 1U);
  EXPECT_EQ(found.openings[0].custom_id, "r2");
  EXPECT_EQ(found.openings[0].line, 3U);
  EXPECT_EQ(found.openings[0].requests, 2U);
  EXPECT_EQ(found.openings[0].tokens, model.unread_tokens);
  EXPECT_EQ(found.openings[0].cost, model.unread_cost);
  EXPECT_TRUE(audit(job, 0).openings.empty());
  EXPECT_EQ(audit(job, 0).models.at("gpt-4o").unread, 2U);
}

TEST_F(job_audit_files, models_without_a_discount_have_no_cache_and_unknown_ones_may) {
  std::string job;
  for (const std::string model : {"gpt-4-1106-preview", "some-model"}) {
    for (int i = 0; i < 3; ++i) {
      const std::string line = job_line(model + std::to_string(i), model, long_prompt("?"));
      job += line;
      answer(line, 1, token_usage{1510, 0, 1, 0});
    }
  }
  const std::string empty = job_line("empty", "some-model", long_prompt("?"));
  job += empty;
  answer(empty, 1, token_usage{0, 0, 1, 0});  // a relay may report anything
  const auto found = audit(job);
  EXPECT_EQ(found.models.at("gpt-4-1106-preview").repeated, 0U);
  EXPECT_EQ(found.models.at("some-model").unread, 2U);
  EXPECT_FALSE(found.models.at("some-model").unread_cost);
  EXPECT_EQ(found.openings.size(), 1U);
}

TEST_F(job_audit_files, a_file_that_is_not_there) {
  EXPECT_THROW(audit_job(files(), lines_, prices_, 1), fatal_error);
}

}  // namespace
}  // namespace sluice
