#include "sluice/totals.hpp"

#include <gmock/gmock.h>

#include <limits>
#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using nlohmann::ordered_json;

line_facts success(std::string model, token_usage usage, const char* cost) {
  line_facts facts;
  facts.succeeded = true;
  facts.model = std::move(model);
  facts.usage = usage;
  if (cost != nullptr) facts.cost = usd::parse(cost);
  facts.finish_reasons = {{"stop", 1}};
  facts.latency_ms = 100;
  facts.ttft_ms = 10;
  return facts;
}

line_facts failed(std::string error, bool retryable = true) {
  line_facts facts;
  facts.error = std::move(error);
  facts.retryable = retryable;
  return facts;
}

std::vector<std::string> keys_of(const ordered_json& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

TEST(job_totals, has_exactly_the_keys_of_the_contract) {
  job_totals totals;
  totals.requests = 3;
  totals.add(success("m", {1, 0, 2, 0}, "0.1"));
  totals.add(failed("500"));
  const auto told = ordered_json::parse(totals.to_json("x.jsonl", job_status::running));
  EXPECT_THAT(keys_of(told),
              testing::UnorderedElementsAre(
                  "job", "status", "requests", "succeeded", "failed", "pending", "attempts",
                  "retries", "tokens", "cost_usd", "cache", "unpriced_requests",
                  "maybe_billed_attempts", "finish_reasons", "models", "wall_s",
                  "max_requests_in_60s", "rpm", "latency_ms", "ttft_ms", "errors"));
  EXPECT_THAT(keys_of(told["tokens"]),
              testing::UnorderedElementsAre("prompt", "cached", "cache_write", "completion",
                                            "reasoning", "total", "estimated_requests"));
  EXPECT_THAT(keys_of(told["cache"]), testing::ElementsAre("read_share", "saved_usd"));
  EXPECT_THAT(keys_of(told["models"]["m"]),
              testing::UnorderedElementsAre("requests", "tokens", "cost_usd"));
  for (const char* times : {"latency_ms", "ttft_ms"}) {
    EXPECT_THAT(keys_of(told[times]), testing::UnorderedElementsAre("p50", "p90", "p99"));
  }
  EXPECT_TRUE(told["cost_usd"].is_string());
}

TEST(job_totals, never_wrap_whatever_the_lines_say) {
  constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
  job_totals totals;
  for (int i = 0; i < 12; ++i) {
    line_facts lying = success("m", {largest, largest, largest, largest}, "1000000000000000000");
    lying.reported_cost = usd::parse("1000000000000000000");
    totals.add(lying);
  }
  const auto told = ordered_json::parse(totals.to_json("x.jsonl", job_status::completed));
  for (const char* kind : {"prompt", "cached", "completion", "reasoning", "total"}) {
    EXPECT_EQ(told["tokens"][kind], largest) << kind;
    EXPECT_EQ(told["models"]["m"]["tokens"][kind], largest) << kind;
  }
  EXPECT_EQ(told["cost_usd"], "10000000000000000000");
  EXPECT_EQ(told["models"]["m"]["cost_usd"], "10000000000000000000");
  EXPECT_EQ(told["reported_cost_usd"], "10000000000000000000");
}

TEST(job_totals, sums_what_the_lines_say) {
  job_totals totals;
  totals.requests = 10;
  totals.add(success("a", {100, 40, 10, 3}, "0.1"));
  totals.add(success("a", {1, 0, 2, 0}, "0.2"));
  totals.add(success("b", {1000, 0, 1, 0}, nullptr));
  line_facts counted_here = success("b", {10, 0, 5, 0}, "0.05");
  counted_here.estimated = true;
  totals.add(counted_here);
  line_facts odd = success("c", {}, nullptr);
  odd.usage.reset();
  odd.finish_reasons = {{"length", 2}, {"stop", 1}};
  odd.ttft_ms.reset();
  odd.reported_cost = usd::parse("0.07");
  totals.add(odd);
  totals.add(failed("500"));
  totals.add(failed("500"));
  totals.add(failed("request_timeout"));
  EXPECT_EQ(totals.pending(), 2U);
  const auto told = ordered_json::parse(totals.to_json("x.jsonl", job_status::stopped));
  EXPECT_EQ(told["job"], "x.jsonl");
  EXPECT_EQ(told["status"], "stopped");
  EXPECT_EQ(told["succeeded"], 5);
  EXPECT_EQ(told["failed"], 3);
  EXPECT_EQ(told["pending"], 2);
  EXPECT_EQ(told["tokens"],
            ordered_json::parse(
                R"({"prompt":1111,"cached":40,"cache_write":0,"completion":18,"reasoning":3,
                                                    "total":1129,"estimated_requests":1})"));
  EXPECT_EQ(told["cost_usd"], "0.35");
  EXPECT_EQ(told["reported_cost_usd"], "0.07");
  EXPECT_EQ(told["unpriced_requests"], 2);
  EXPECT_EQ(told["finish_reasons"], ordered_json::parse(R"({"length":2,"stop":5})"));
  EXPECT_EQ(told["errors"], ordered_json::parse(R"({"500":2,"request_timeout":1})"));
  EXPECT_EQ(told["models"]["a"]["requests"], 2);
  EXPECT_EQ(told["models"]["a"]["cost_usd"], "0.3");
  EXPECT_EQ(told["models"]["a"]["tokens"]["total"], 113);
  EXPECT_EQ(told["models"]["b"]["cost_usd"], "0.05");
  EXPECT_EQ(told["models"]["b"]["requests"], 2);
  EXPECT_TRUE(told["models"]["c"]["cost_usd"].is_null());
}

TEST(job_totals, tell_what_the_cache_did) {
  const auto cache_of = [](const job_totals& totals) {
    return ordered_json::parse(totals.to_json("x", job_status::completed))["cache"].dump();
  };
  job_totals totals;
  EXPECT_EQ(cache_of(totals), R"({"read_share":null,"saved_usd":"0"})") << "there is no prompt";
  line_facts writes = success("m", {.prompt_tokens = 2000, .cache_write_tokens = 1500}, "0.1");
  writes.cache_saved = usd::from_units(-usd::parse("0.03")->count());
  totals.add(writes);
  EXPECT_EQ(cache_of(totals), R"({"read_share":0.0,"saved_usd":"-0.03"})");
  line_facts reads = success("m", {.prompt_tokens = 4000, .cached_tokens = 1500}, "0.1");
  reads.cache_saved = usd::parse("0.05");
  totals.add(reads);
  EXPECT_EQ(cache_of(totals), R"({"read_share":0.25,"saved_usd":"0.02"})");
  totals.add(success("without a price", {.prompt_tokens = 6000}, nullptr));
  EXPECT_EQ(cache_of(totals), R"({"read_share":0.125,"saved_usd":"0.02"})")
      << "a reply that used no cache";
  line_facts unpriced = success("m", {.prompt_tokens = 4000, .cached_tokens = 2500}, nullptr);
  unpriced.cache_saved.reset();
  totals.add(unpriced);
  totals.add(reads);
  EXPECT_EQ(cache_of(totals), R"({"read_share":0.275,"saved_usd":null})");
  totals.add(success("m", {.prompt_tokens = 1, .cached_tokens = 1'000'000}, "0"));
  EXPECT_EQ(cache_of(totals), R"({"read_share":1.0,"saved_usd":null})")
      << "more than there was, as a damaged line may say";
}

TEST(job_totals, tell_what_each_member_of_a_pool_served) {
  job_totals totals;
  for (const char* relay : {"blue", "green", "blue"}) {
    line_facts line = success("m", {100, 0, 10, 0}, relay[0] == 'b' ? "0.1" : nullptr);
    line.relay = relay;
    totals.add(line);
  }
  const auto told = ordered_json::parse(totals.to_json("x", job_status::completed));
  EXPECT_EQ(told["relays"]["blue"]["requests"], 2);
  EXPECT_EQ(told["relays"]["blue"]["tokens"]["total"], 220);
  EXPECT_EQ(told["relays"]["blue"]["cost_usd"], "0.2");
  EXPECT_EQ(told["relays"]["green"]["requests"], 1);
  EXPECT_TRUE(told["relays"]["green"]["cost_usd"].is_null());
  EXPECT_EQ(totals.relays().size(), 2U);
}

TEST(job_totals, of_nothing) {
  const job_totals totals;
  const auto told = ordered_json::parse(totals.to_json("x", job_status::completed));
  EXPECT_EQ(told["cost_usd"], "0");
  EXPECT_TRUE(told["latency_ms"]["p50"].is_null());
  EXPECT_EQ(told["models"], ordered_json::object());
  EXPECT_EQ(told["errors"], ordered_json::object());
}

TEST(job_totals, a_failure_tried_again_is_taken_back) {
  job_totals totals;
  totals.requests = 3;
  totals.add(failed("500"));
  totals.add(failed("408"));
  totals.add(failed("400", false));
  EXPECT_EQ(totals.retryable_failures, 2U);
  totals.take_back_failure("500", true);
  totals.add(success("m", {1, 0, 1, 0}, "0.1"));
  EXPECT_EQ(totals.failed, 2U);
  EXPECT_EQ(totals.retryable_failures, 1U);
  EXPECT_EQ(totals.pending(), 0U);
  EXPECT_EQ(ordered_json::parse(totals.to_json("x", job_status::completed))["errors"],
            ordered_json::parse(R"({"400":1,"408":1})"));
}

TEST(job_totals, never_have_fewer_than_none_pending) {
  job_totals totals;
  // For example with a smaller --limit than before, or while standard input is still being read.
  totals.requests = 1;
  totals.add(success("m", {1, 0, 1, 0}, "0.1"));
  totals.add(success("m", {1, 0, 1, 0}, "0.1"));
  EXPECT_EQ(totals.pending(), 0U);
}

TEST(job_totals, names_that_are_no_text_do_not_break_it) {
  job_totals totals;
  totals.add(success("bad \xff", {1, 0, 1, 0}, "0.1"));
  EXPECT_TRUE(nlohmann::json::accept(totals.to_json("x\xff", job_status::completed)));
}

TEST(job_totals, every_status_has_its_word) {
  const job_totals totals;
  for (const auto& [status, word] : {std::pair{job_status::running, "running"},
                                     {job_status::completed, "completed"},
                                     {job_status::stopped, "stopped"},
                                     {job_status::interrupted, "interrupted"}}) {
    EXPECT_EQ(ordered_json::parse(totals.to_json("x", status))["status"], word);
  }
}

}  // namespace
}  // namespace sluice
