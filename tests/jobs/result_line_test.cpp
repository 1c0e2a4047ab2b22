#include "jobs/result_line.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>

#include "jobs/stored_line.hpp"
#include "openai/whole_reply.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

using nlohmann::json;

result a_success() {
  result made;
  made.line = 1;
  made.custom_id = "a";
  made.model = "gpt-4-1106-preview";
  made.digest = std::string(32, 'd');
  made.attempts = 2;
  made.streamed = true;
  made.started_at = 1'700'000'000.1234;
  made.latency_ms = 812.4;
  made.ttft_ms = 210.0;
  reply whole;
  whole.request_id = "req_1";
  whole.body = R"({"choices":[{"finish_reason":"stop","index":0}],"big":1e400})";
  whole.streamed = true;
  whole.usage = token_usage{200, 10, 300, 20};
  whole.finish_reasons = {{"stop", 1}};
  made.outcome = whole;
  return made;
}

result a_failure(failure why) {
  result made;
  made.line = 3;
  made.custom_id = "f";
  made.model = "m";
  made.digest = std::string(32, 'e');
  made.attempts = 5;
  made.streamed = true;
  made.started_at = 1'700'000'000;
  made.latency_ms = 12;
  made.retryable = true;
  made.outcome = std::move(why);
  return made;
}

TEST(result_line, of_a_success_is_a_batch_line_and_one_object_more) {
  const std::string line = result_line(a_success(), usd::parse("0.008"), false);
  ASSERT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_THAT(line, testing::HasSubstr("1e400")) << "numbers keep their text";
  std::string plain = line;
  plain.replace(plain.find("1e400"), 5, "1");
  auto told = json::parse(plain);
  const std::string id = told["id"];
  EXPECT_TRUE(id.starts_with("batch_req_"));
  told.erase("id");
  EXPECT_EQ(told,
            json::parse(R"({"custom_id":"a","response":{"status_code":200,"request_id":"req_1",
      "body":{"choices":[{"finish_reason":"stop","index":0}],"big":1}},"error":null,
      "sluice":{"line":1,"attempts":2,"model":"gpt-4-1106-preview","streamed":true,"started_at":1700000000.123,
      "latency_ms":812.4,"ttft_ms":210.0,"usage":{"prompt_tokens":200,"cached_tokens":10,"cache_write_tokens":0,"cache_write_1h_tokens":0,"completion_tokens":300,
      "reasoning_tokens":20},"usage_source":"reported","cost_usd":"0.008","cache_saved_usd":null,
      "service_tier":null,"digest":"dddddddddddddddddddddddddddddddd"}})"));
}

TEST(result_line, tells_what_the_cache_saved_if_it_was_used) {
  result made = a_success();  // ten of its tokens are cached
  const auto line_with = [&](const std::optional<usd>& saved) {
    return result_line(made, usd::parse("0.008"), false, usd::from_units(1), saved);
  };
  const usd loss = usd::from_units(-12);
  const std::string line = line_with(loss);
  EXPECT_THAT(
      line, testing::HasSubstr(R"("cost_usd":"0.008","cache_saved_usd":"-0.000000000000000012",)"));
  EXPECT_EQ(parse_stored_line(line)->facts.cache_saved, loss);
  EXPECT_EQ(parse_stored_line(line_with({}))->facts.cache_saved, std::nullopt);
  EXPECT_EQ(facts_of(made, {}).cache_saved, std::nullopt);

  std::string earlier = line;  // an older line, without this member
  const std::string_view member = R"("cache_saved_usd":"-0.000000000000000012",)";
  earlier.erase(earlier.find(member), member.size());
  EXPECT_EQ(parse_stored_line(earlier)->facts.cache_saved, std::nullopt) << "it is unknown";

  made.outcome->usage->cached_tokens = 0;
  EXPECT_THAT(line_with(loss), testing::Not(testing::HasSubstr("cache_saved")));
  EXPECT_EQ(parse_stored_line(line_with(loss))->facts.cache_saved, usd{});
  EXPECT_EQ(facts_of(made, {}, loss).cache_saved, usd{});
}

TEST(result_line, tells_the_tier_and_the_times_that_its_price_depends_on) {
  result made = a_success();
  made.outcome->service_tier = "flex";
  made.started_at = 1'700'000'000.99961;  // a line has three decimals of it
  made.latency_ms = 812.44;               // and one decimal of this
  const serving now = serving_of(made);
  EXPECT_EQ(now.tier, "flex");
  EXPECT_EQ(now.started_unix, 1'700'000'001);
  EXPECT_DOUBLE_EQ(now.ended_unix, 1'700'000'001.8124);
  const serving later = parse_stored_line(result_line(made, {}, false))->served();
  EXPECT_EQ(later.tier, now.tier);
  EXPECT_EQ(later.started_unix, now.started_unix);
  EXPECT_EQ(later.ended_unix, now.ended_unix);
}

TEST(result_line, names_the_member_of_a_pool) {
  result made = a_success();
  made.relay = "blue \"1\"";
  const std::string line = result_line(made, usd::parse("0.008"), false);
  EXPECT_THAT(line, testing::HasSubstr(R"("relay":"blue \"1\"","model":)"));
  EXPECT_EQ(parse_stored_line(line)->facts.relay, made.relay);
  EXPECT_EQ(facts_of(made, {}).relay, made.relay);
}

TEST(result_line, tells_the_tier_that_served_the_request) {
  result made = a_success();
  made.outcome->service_tier = "flex";
  made.outcome->reported_cost = usd::parse("0.004");
  const std::string line = result_line(made, usd::parse("0.008"), false);
  EXPECT_THAT(line,
              testing::HasSubstr(R"("reported_cost_usd":"0.004","service_tier":"flex","digest")"));
  EXPECT_EQ(parse_stored_line(line)->service_tier, "flex");
  made.outcome->speed = "fast";
  made.outcome->inference_geo = "us";
  EXPECT_THAT(
      result_line(made, usd::parse("0.008"), false),
      testing::HasSubstr(R"("service_tier":"flex","speed":"fast","inference_geo":"us","digest")"));

  std::string earlier = line;  // an older line, without a tier
  earlier.erase(earlier.find(R"("service_tier":"flex",)"), 22);
  EXPECT_EQ(parse_stored_line(earlier)->service_tier, std::nullopt);
  EXPECT_EQ(parse_stored_line(earlier)->facts.cost, usd::parse("0.008"));
  made.outcome->service_tier.reset();
  EXPECT_EQ(parse_stored_line(result_line(made, {}, false))->service_tier, std::nullopt);
}

TEST(result_line, without_usage_there_is_no_cost) {
  result made = a_success();
  made.outcome->usage.reset();
  made.ttft_ms.reset();
  const auto told =
      json::parse(result_line(made, std::nullopt, true)
                      .replace(0, 0, "")
                      .replace(result_line(made, std::nullopt, true).find("1e400"), 5, "1"));
  EXPECT_EQ(told["sluice"]["usage_source"], "none");
  EXPECT_TRUE(told["sluice"]["usage"].is_null());
  EXPECT_TRUE(told["sluice"]["cost_usd"].is_null());
  EXPECT_TRUE(told["sluice"]["ttft_ms"].is_null());
  EXPECT_EQ(told["sluice"]["simulated"], true);
}

TEST(result_line, tells_usage_that_was_counted_here_from_reported_one) {
  result made = a_success();
  made.outcome->estimated_usage = token_usage{7, 0, 3, 0};
  EXPECT_THAT(result_line(made, usd::parse("0.1"), false),
              testing::HasSubstr(R"("usage_source":"reported")"))
      << "the relay's own word wins";
  EXPECT_FALSE(facts_of(made, {}).estimated);
  made.outcome->usage.reset();
  const std::string line = result_line(made, usd::parse("0.1"), false);
  EXPECT_THAT(
      line,
      testing::HasSubstr(
          R"("usage":{"prompt_tokens":7,"cached_tokens":0,"cache_write_tokens":0,)"
          R"("cache_write_1h_tokens":0,"completion_tokens":3,"reasoning_tokens":0},"usage_source":"estimated","cost_usd":"0.1")"));
  for (const line_facts& facts :
       {facts_of(made, usd::parse("0.1")), parse_stored_line(line)->facts}) {
    EXPECT_TRUE(facts.estimated);
    EXPECT_EQ(facts.usage, (token_usage{7, 0, 3, 0}));
    EXPECT_EQ(facts.cost, usd::parse("0.1"));
  }
}

TEST(result_line, the_request_id_is_a_string_where_the_relay_sent_none) {
  result made = a_success();
  made.outcome->request_id.clear();
  EXPECT_THAT(result_line(made, std::nullopt, false),
              testing::HasSubstr(R"("request_id":"","body":)"));
  failure why;
  why.code = errc::http_error;
  why.http_status = 503;
  EXPECT_THAT(result_line(a_failure(why), std::nullopt, false),
              testing::HasSubstr(R"({"status_code":503,"request_id":"","body":""})"));
}

TEST(result_line, of_an_http_error_shows_the_response) {
  failure why;
  why.code = errc::http_error;
  why.http_status = 429;
  why.request_id = "req_2";
  why.message = "slow";
  why.body = "{\"error\": {\n \"message\": \"slow\"}}";
  const std::string line = result_line(a_failure(why), std::nullopt, false);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  auto told = json::parse(line);
  EXPECT_EQ(told["response"]["status_code"], 429);
  EXPECT_EQ(told["response"]["request_id"], "req_2");
  EXPECT_EQ(told["response"]["body"], json::parse(why.body));
  EXPECT_TRUE(told["error"].is_null());
  EXPECT_EQ(told["sluice"]["retryable"], true);
  EXPECT_EQ(told["sluice"]["attempts"], 5);

  why.body = "<html>" + std::string(10'000, 'x') + "\xff";
  told = json::parse(result_line(a_failure(why), std::nullopt, false));
  EXPECT_EQ(told["response"]["body"].get<std::string>().size(), 4096U)
      << "a body that is no JSON, cut";
  why.body = "bad \xff byte";
  EXPECT_EQ(json::parse(result_line(a_failure(why), std::nullopt, false))["response"]["body"],
            "bad \xEF\xBF\xBD byte");
  why.body.clear();
  EXPECT_EQ(json::parse(result_line(a_failure(why), std::nullopt, false))["response"]["body"], "");
}

TEST(result_line, of_any_other_failure_has_a_code_and_words) {
  for (const auto code :
       {errc::connection_failed, errc::tls_failed, errc::request_timeout, errc::stream_interrupted,
        errc::invalid_response, errc::response_too_large}) {
    failure why;
    why.code = code;
    why.message = "words \"and\"\nmore \xff";
    const auto told = json::parse(result_line(a_failure(why), std::nullopt, false));
    EXPECT_TRUE(told["response"].is_null());
    EXPECT_EQ(told["error"]["code"], std::string(to_string(code)));
    EXPECT_EQ(told["error"]["message"], "words \"and\"\nmore \xEF\xBF\xBD");
    EXPECT_EQ(error_name(why), to_string(code));
  }
  failure http;
  http.http_status = 503;
  EXPECT_EQ(error_name(http), "503");
}

TEST(result_line, of_a_bad_line_names_its_number) {
  result bad;
  bad.line = 9;
  bad.custom_id = "line-9";
  failure why;
  why.code = errc::invalid_json_line;
  why.kind = failure_class::permanent;
  why.message = "not JSON";
  bad.outcome = why;
  const std::string line = result_line(bad, std::nullopt, false);
  const auto told = json::parse(line);
  EXPECT_EQ(told["error"]["code"], "invalid_json_line");
  EXPECT_EQ(told["sluice"]["line"], 9);
  const auto stored = parse_stored_line(line);
  ASSERT_TRUE(stored);
  EXPECT_TRUE(stored->of_bad_line);
  EXPECT_EQ(stored->line, 9U);
  EXPECT_EQ(stored->facts.error, "invalid_json_line");
  EXPECT_FALSE(stored->facts.retryable);
}

void expect_same(const line_facts& a, const line_facts& b, const std::string& line) {
  EXPECT_EQ(a.succeeded, b.succeeded) << line;
  EXPECT_EQ(a.error, b.error) << line;
  EXPECT_EQ(a.model, b.model) << line;
  EXPECT_EQ(a.usage, b.usage) << line;
  EXPECT_EQ(a.cost, b.cost) << line;
  EXPECT_EQ(a.reported_cost, b.reported_cost) << line;
  EXPECT_EQ(a.cache_saved, b.cache_saved) << line;
  EXPECT_EQ(a.finish_reasons, b.finish_reasons) << line;
  EXPECT_NEAR(a.latency_ms, b.latency_ms, 0.051) << line;
  EXPECT_EQ(a.ttft_ms.has_value(), b.ttft_ms.has_value()) << line;
  EXPECT_NEAR(a.ttft_ms.value_or(0), b.ttft_ms.value_or(0), 0.051) << line;
}

// A line must give the totals the same facts as its result did. Otherwise the totals of a resumed
// job would differ.
TEST(stored_line, gives_the_facts_of_the_result_it_was_written_for) {
  std::mt19937_64 random(6);
  const auto words = [&] {
    static const char* const all[] = {"plain", "with \"quotes\"", "new\nline", "é😀",
                                      "",      "back\\slash",     "{}",        "null"};
    return std::string(all[random() % std::size(all)]);
  };
  for (int round = 0; round < 3000; ++round) {
    result made;
    made.line = 1 + random() % 1'000'000;
    made.custom_id = words() + std::to_string(round);
    made.model = words();
    made.digest = std::string(32, 'a');
    made.attempts = static_cast<std::uint32_t>(random() % 30);
    made.streamed = random() % 2 == 0;
    made.started_at = 1.7e9 + static_cast<double>(random() % 1'000'000) / 1000;
    made.latency_ms = static_cast<double>(random() % 100'000'000) / 1000;
    if (random() % 2 == 0) made.ttft_ms = made.latency_ms / 3;
    made.retryable = false;
    std::optional<usd> cost;
    std::optional<usd> saved;
    if (random() % 3 != 0) {
      reply whole;
      json body;
      const std::size_t choices = 1 + random() % 3;
      for (std::size_t i = 0; i < choices; ++i) {
        const std::string reason = random() % 4 == 0 ? "length" : "stop";
        body["choices"].push_back(
            {{"index", i}, {"message", {{"content", words()}}}, {"finish_reason", reason}});
        ++whole.finish_reasons[reason];
      }
      if (random() % 4 != 0) {
        whole.usage = token_usage{static_cast<std::int64_t>(random() % 100'000),
                                  static_cast<std::int64_t>(random() % 10),
                                  static_cast<std::int64_t>(random() % 100'000),
                                  static_cast<std::int64_t>(random() % 10)};
        if (random() % 3 == 0) whole.usage->cached_tokens = 0;
        if (random() % 3 == 0) whole.usage->cache_write_tokens = 5;
        if (random() % 3 == 0) whole.usage->cache_write_1h_tokens = 6;
        if (random() % 4 != 0) cost = usd::from_units(static_cast<usd::units>(random()));
        // Savings may be negative.
        if (cost) saved = usd::from_units(static_cast<std::int64_t>(random()));
      }
      if (random() % 3 == 0) whole.reported_cost = usd::parse("0.0123");
      whole.body = body.dump();
      whole.request_id = random() % 2 == 0 ? words() : "";
      whole.streamed = made.streamed;
      if (random() % 20 == 0) {  // a response object
        whole.body = R"({"object":"response","status":"completed","output":[]})";
        whole.finish_reasons = {{"completed", 1}};
      }
      made.outcome = whole;
    } else {
      failure why;
      const errc codes[] = {errc::http_error, errc::connection_failed, errc::request_timeout,
                            errc::invalid_response};
      why.code = codes[random() % std::size(codes)];
      why.http_status = random() % 2 == 0 ? 500 : 400;
      why.message = words();
      why.body = random() % 2 == 0 ? R"({"error":{"message":"retryable"}})" : words();
      made.outcome = why;
      made.retryable = random() % 2 == 0;
    }
    const bool simulated = random() % 2 == 0;
    std::string line = result_line(made, cost, simulated, {}, saved);
    ASSERT_EQ(line.find('\n'), line.size() - 1);
    line.pop_back();
    ASSERT_TRUE(json::accept(line)) << line;
    const auto stored = parse_stored_line(line);
    ASSERT_TRUE(stored) << line;
    EXPECT_EQ(stored->custom_id, made.custom_id) << line;
    EXPECT_EQ(stored->digest, made.digest);
    EXPECT_EQ(stored->line, made.line);
    EXPECT_EQ(stored->attempts, made.attempts);
    EXPECT_EQ(stored->facts.retryable, made.retryable) << line;
    EXPECT_EQ(stored->simulated, simulated);
    EXPECT_FALSE(stored->of_bad_line);
    line_facts facts = facts_of(made, cost, saved);
    if (!made.outcome) facts.usage.reset();
    expect_same(stored->facts, facts, line);
  }
}

TEST(stored_line, of_a_response_that_was_cut_off) {
  result made = a_success();
  made.outcome->body =
      R"({"object":"response","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}})";
  const auto stored = parse_stored_line(result_line(made, std::nullopt, false));
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->facts.finish_reasons.size(), 1U);
}

TEST(stored_line, tells_the_finish_reasons_that_were_counted_when_it_was_written) {
  using enum endpoint;
  using counts = std::map<std::string, std::uint64_t>;
  const struct {
    endpoint target;
    std::string body;
    counts reasons;
  } rows[] = {
      {responses, R"({"id":"r","status":"completed","output":[]})", {{"completed", 1}}},
      {responses, R"({"object":"response","output":[{}]})", {}},
      {responses,
       R"({"object":"response","status":"completed","incomplete_details":{"reason":"x"}})",
       {{"completed", 1}}},
      {responses,
       R"({"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}})",
       {{"max_output_tokens", 1}}},
      {responses,
       R"({"object":"response","status":"incomplete","incomplete_details":{"reason":""}})",
       {{"incomplete", 1}}},
      {responses, R"({"object":"response","status":"","output":[{}]})", {}},
      {responses, R"({"st\u0061tus":"complet\u0065d"})", {{"completed", 1}}},
      {embeddings, R"({"object":"response","status":"ok","data":[{"embedding":[1]}]})", {}},
      {chat_completions,
       R"({"status":"x","choices":[{"text":"","finish_reason":"stop"},{"text":"x","finish_reason":""},{"text":"x"}]})",
       {{"stop", 1}}},
  };
  for (const auto& [target, body, reasons] : rows) {
    const auto whole = openai::read_whole_reply(body, target, 0);
    ASSERT_TRUE(whole.has_value()) << body;
    EXPECT_EQ(whole->finish_reasons, reasons) << body;
    result made = a_success();
    made.outcome = *whole;
    const auto stored = parse_stored_line(result_line(made, std::nullopt, false));
    ASSERT_TRUE(stored) << body;
    EXPECT_EQ(stored->facts.finish_reasons, reasons) << body;
  }
}

TEST(stored_line, is_nothing_where_the_line_is_no_result) {
  const std::string line = result_line(a_success(), std::nullopt, false);
  for (const std::string& text :
       {std::string(), std::string("{}"), std::string("[]"), std::string("nonsense"),
        std::string(R"({"custom_id":"a","response":null})"),
        std::string(R"({"custom_id":5,"sluice":{}})")}) {
    EXPECT_FALSE(parse_stored_line(text)) << text;
  }
  for (std::size_t cut = 0; cut + 1 < line.size(); ++cut) {
    ASSERT_FALSE(parse_stored_line(line.substr(0, cut))) << "torn after " << cut << " bytes";
  }
}

// A tool may write the lines again: with spaces, in another order, or with escapes in the keys.
TEST(stored_line, is_read_in_every_form_of_its_json) {
  const std::string line = result_line(a_success(), usd::parse("0.25"), false, *usd::parse("0.5"));
  const auto as_written = parse_stored_line(line);
  ASSERT_TRUE(as_written);
  std::string plain = line;
  plain.replace(plain.find("1e400"), 5, "1");
  std::string escaped_keys = line;
  for (const auto& [key, escaped] : {std::pair{"\"sluice\"", R"("slu\u0069ce")"},
                                     {"\"prompt_tokens\"", R"("prompt\u005ftokens")"},
                                     {"\"choices\"", R"("choic\u0065s")"},
                                     {"\"finish_reason\"", R"("finish\u005Freason")"},
                                     {"\"body\"", R"("bod\u0079")"}}) {
    escaped_keys.replace(escaped_keys.find(key), std::string_view(key).size(), escaped);
  }
  for (const std::string& form :
       {json::parse(plain).dump(), json::parse(plain).dump(2), escaped_keys,
        // The last of two members with one key counts.
        R"({"sluice":{"line":7,"usage":{"audio_prompt_tokens":9},"retryable":true},)"
        R"("response":{"body":{"choices":[{"finish_reason":"x"}]}},)" +
            line.substr(1)}) {
    const auto read = parse_stored_line(form);
    ASSERT_TRUE(read) << form;
    EXPECT_EQ(read->custom_id, "a") << form;
    EXPECT_EQ(read->line, 1U) << form;
    EXPECT_EQ(read->attempts, 2U) << form;
    EXPECT_EQ(read->kept, *usd::parse("0.5")) << form;
    EXPECT_EQ(read->request_id, "\"req_1\"") << form;
    expect_same(read->facts, as_written->facts, form);
  }
  for (const char* const other :
       {R"({"custom_id":"a","sluice":{"line":1},"sluice":5})", R"([{"custom_id":"a","sluice":{}}])",
        R"({"response":{"custom_id":"a","sluice":{"line":1}}})"}) {
    EXPECT_FALSE(parse_stored_line(other)) << other;
  }
}

TEST(result_line, ids_of_different_requests_differ) {
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) {
    result made = a_success();
    made.custom_id = std::to_string(i);
    const std::string line = result_line(made, std::nullopt, false);
    ids.insert(line.substr(0, line.find(',')));
  }
  EXPECT_EQ(ids.size(), 100U);
}

}  // namespace
}  // namespace sluice
