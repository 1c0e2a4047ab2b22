// Tests the files of the page, and the routes that the page calls, without HTTP.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "server/batch_sums.hpp"
#include "server/page_api.hpp"
#include "server/page_assets.hpp"
#include "server/routes_rig.hpp"

namespace sluice::server {
namespace {

using store::batch_status;

struct server_page : routes_rig {};

TEST_F(server_page, page_and_files_have_a_strict_content_policy) {
  for (const std::string path : {"/", "/assets/app.js", "/assets/base.css", "/assets/icon.svg"}) {
    const auto answer = get(path);
    EXPECT_EQ(answer.status, 200) << path;
    EXPECT_EQ(answer.field("Content-Security-Policy"),
              "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
              "img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self'");
    EXPECT_EQ(answer.field("X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(answer.field("Referrer-Policy"), "no-referrer");
    EXPECT_FALSE(answer.body.empty());
  }
  EXPECT_EQ(get("/").field("Content-Type"), "text/html; charset=utf-8");
  EXPECT_EQ(get("/assets/app.js").field("Content-Type"), "text/javascript; charset=utf-8");
}

TEST_F(server_page, a_file_that_the_browser_has_is_not_sent_again) {
  const std::string tag = get("/assets/app.js").field("ETag");
  EXPECT_NE(tag, get("/assets/dom.js").field("ETag"));
  fake_exchange again("GET", "/assets/app.js");
  again.request().fields.add("If-None-Match", "\"other\", W/" + tag);
  const auto answer = ask(std::move(again));
  EXPECT_EQ(answer.status, 304);
  EXPECT_TRUE(answer.body.empty());
  EXPECT_EQ(answer.field("ETag"), tag);
}

TEST_F(server_page, every_file_that_the_page_names_is_there) {
  const std::string& page = std::string(page_document(false).bytes);
  std::size_t named = 0;
  for (std::size_t at = page.find("/assets/"); at != std::string::npos;
       at = page.find("/assets/", at + 1)) {
    const std::string path = page.substr(at, page.find('"', at) - at);
    EXPECT_EQ(get(path).status, 200) << path;
    ++named;
  }
  EXPECT_GE(named, 4U);
  EXPECT_EQ(get("/assets/nothing.js").status, 404);
  EXPECT_EQ(get("/assets/index.html").status, 404);
  EXPECT_EQ(ask(fake_exchange("POST", "/")).status, 404);
}

TEST_F(server_page, the_page_says_whether_it_needs_a_key) {
  EXPECT_NE(get("/").body.find(R"(data-keys="none")"), std::string::npos);
  keys = access_keys("[[key]]\nname = \"alice\"\nkey = \"sk-alice-0123456789\"\n", "keys.toml");
  EXPECT_NE(get("/").body.find(R"(data-keys="needed")"), std::string::npos);
  EXPECT_NE(page_document(true).tag, page_document(false).tag);
  EXPECT_EQ(get("/sluice/status").status, 401);
  EXPECT_EQ(get("/sluice/status", "sk-alice-0123456789").status, 200);
}

TEST_F(server_page, the_status_of_an_empty_server) {
  const auto now = status();
  EXPECT_EQ(now["object"], "sluice.status");
  EXPECT_EQ(now["batches"]["count"], 0);
  EXPECT_EQ(now["requests"]["total"], 0);
  EXPECT_EQ(now["cost_usd"], "0");
  EXPECT_TRUE(now["models"].empty());
  EXPECT_TRUE(now["key"].is_null());
  EXPECT_TRUE(now["waits"].is_null());
  EXPECT_TRUE(now["limit"]["requests_per_minute"].is_null());
  ASSERT_EQ(now["relays"].size(), 1U);
  EXPECT_EQ(now["relays"][0]["state"], "ok");
}

TEST_F(server_page, the_status_has_exact_sums_by_model_and_by_error) {
  relay.plan = [](const test::exchange_call& call) {
    return call.body.find("gpt-9") != std::string::npos
               ? test::refusal_plan(400, "no such parameter")
               : test::completion_plan();
  };
  runner().count_in(figures);
  const auto one = create(line("a") + line("b") + line("c", "gpt-9"));
  const auto other = create(line("d", "gpt-4o"));
  run_until_ended({one, other});
  ASSERT_EQ(batch(one).progress.counts.failed, 1U);
  time.advance(std::chrono::seconds{2});
  const auto now = status();
  EXPECT_EQ(now["batches"]["by_status"]["completed"], 2);
  EXPECT_EQ(now["batches"]["open"], 0);
  EXPECT_EQ(now["requests"]["completed"], 3);
  EXPECT_EQ(now["requests"]["failed"], 1);
  EXPECT_EQ(now["errors"]["by_code"]["400"], 1);
  EXPECT_EQ(now["errors"]["earlier"], 0);
  usd sum;
  std::map<std::string, int> requests;
  for (const auto& model : now["models"]) {
    sum += *usd::parse(model["cost_usd"].get<std::string>());
    requests[model["model"].get<std::string>()] = model["requests"].get<int>();
  }
  EXPECT_EQ(requests, (std::map<std::string, int>{{"gpt-4o", 1}, {"gpt-4o-mini", 2}}));
  EXPECT_EQ(now["cost_usd"], sum.to_string());
  EXPECT_EQ(now["cost_usd"], (batch(one).progress.cost + batch(other).progress.cost).to_string());
  EXPECT_NE(now["cost_usd"], "0");
  std::uint64_t results = 0;
  for (const auto& step : now["recent"]["completed"]) results += step.get<std::uint64_t>();
  EXPECT_EQ(results, 3U);
}

TEST_F(server_page, interactive_calls_are_in_the_status_too) {
  relay.plan = [](const test::exchange_call& call) {
    return call.body.find("gpt-9") != std::string::npos
               ? test::refusal_plan(400, "no such parameter")
               : test::completion_plan();
  };
  runner().count_in(figures);
  const auto one = create(line("a") + line("b", "gpt-9"));
  run_until_ended({one});
  time.advance(std::chrono::seconds{2});
  const auto before = status();
  const std::string text = R"(","messages":[{"role":"user","content":"hi"}]})";
  EXPECT_EQ(post("/v1/chat/completions", R"({"model":"gpt-4o-mini)" + text).status, 200);
  EXPECT_EQ(post("/v1/chat/completions", R"({"model":"gpt-9)" + text).status, 400);
  EXPECT_EQ(post("/v1/chat/completions", R"({"messages":[]})").status, 400);
  const auto now = status();
  EXPECT_EQ(now["calls"]["started"], 3);
  EXPECT_EQ(now["calls"]["completed"], 1);
  EXPECT_EQ(now["calls"]["failed"], 2);
  EXPECT_EQ(now["calls"]["in_flight"], 0);
  EXPECT_EQ(now["calls"]["started_last_minute"], 3);
  EXPECT_EQ(now["limit"]["started_last_minute"], 4) << "what reached the relay";
  EXPECT_EQ(now["errors"]["by_code"]["400"], 3);
  EXPECT_EQ(now["requests"], before["requests"]) << "lines of batches";
  ASSERT_EQ(now["models"].size(), 1U);
  EXPECT_EQ(now["models"][0]["requests"], 2);
  EXPECT_EQ(now["models"][0]["calls"], 1);
  EXPECT_EQ(now["models"][0]["cost_usd"], now["cost_usd"]);
  const auto cost = [](const nlohmann::json& of) {
    return *usd::parse(of["cost_usd"].get<std::string>());
  };
  EXPECT_EQ(cost(now), cost(before) + cost(now["calls"]));
  EXPECT_GT(cost(now["calls"]), usd{});
  EXPECT_EQ(now["tokens"]["total"].get<int>(),
            before["tokens"]["total"].get<int>() + now["calls"]["tokens"]["total"].get<int>());
  std::uint64_t results = 0;
  for (const auto& step : now["recent"]["completed"]) results += step.get<std::uint64_t>();
  EXPECT_EQ(results, 2U);
}

TEST_F(server_page, what_calls_spend_of_a_budget_is_spent) {
  keys = access_keys(
      "[[key]]\nname = \"alice\"\nkey = \"sk-alice-0123456789\"\nbudget = \"2.5\"\n"
      "[[key]]\nname = \"bob\"\nkey = \"sk-bob-0123456789ab\"\n",
      "keys.toml");
  const std::string asked =
      R"({"model":"gpt-4o-mini","max_tokens":9,"messages":[{"role":"user","content":"hi"}]})";
  EXPECT_EQ(post("/v1/chat/completions", asked, "sk-alice-0123456789").status, 200);
  const auto alice = status("sk-alice-0123456789");
  EXPECT_EQ(alice["calls"]["completed"], 1);
  EXPECT_NE(alice["cost_usd"], "0");
  EXPECT_EQ(alice["key"]["spent_usd"], alice["cost_usd"]);
  EXPECT_EQ(status("sk-bob-0123456789ab")["calls"]["started"], 0);
}

TEST_F(server_page, after_a_restart_the_sums_are_those_of_the_store) {
  relay.plan = [](const test::exchange_call& call) {
    return call.body.find("gpt-9") != std::string::npos
               ? test::refusal_plan(400, "no such parameter")
               : test::completion_plan();
  };
  const auto mixed = create(line("a") + line("b", "gpt-4o") + line("c", "gpt-9"));
  run_until_ended({mixed});
  stop();
  routes.reset();
  figures = server_figures(time.unix_now());
  time.advance(std::chrono::seconds{2});
  const auto now = status();
  EXPECT_EQ(now["requests"]["completed"], 2);
  EXPECT_EQ(now["errors"]["earlier"], 1);
  EXPECT_TRUE(now["errors"]["by_code"].empty());
  ASSERT_EQ(now["models"].size(), 1U);
  EXPECT_TRUE(now["models"][0]["model"].is_null());
  EXPECT_EQ(now["models"][0]["cost_usd"], now["cost_usd"]);
  EXPECT_EQ(now["cost_usd"], batch(mixed).progress.cost.to_string());
  for (const auto& step : now["recent"]["completed"]) EXPECT_EQ(step, 0);
  EXPECT_GE(now["recent"]["begins_at"].get<double>(), now["started_at"].get<double>() - 10);
}

TEST_F(server_page, a_running_batch_counts_as_it_is_now) {
  runner_settings.save_interval = std::chrono::hours{1};
  relay.plan = [](const test::exchange_call&) {
    return test::completion_plan("x", std::chrono::seconds{5});
  };
  options.pace.concurrency = 1;
  const auto id = create(lines(10));
  runner().count_in(figures);
  run([&] { return figures.batch(id) != nullptr && sender().now().in_flight > 0; });
  const time_point later = time.now() + std::chrono::seconds{21};
  run([&] { return time.now() >= later; });
  const auto now = status();
  EXPECT_EQ(batch(id).progress.counts.completed, 0U) << "nothing was stored yet";
  EXPECT_GE(now["requests"]["completed"], 3);
  EXPECT_EQ(now["requests"]["total"], 10);
  EXPECT_EQ(now["in_flight"], 1);
  EXPECT_EQ(now["own_in_flight"], 1);
  EXPECT_EQ(now["models"][0]["requests"], now["requests"]["completed"]);
}

TEST_F(server_page, a_key_sees_its_own_batches_alone) {
  keys = access_keys(
      "[[key]]\nname = \"alice\"\nkey = \"sk-alice-0123456789\"\nbudget = \"2.5\"\n"
      "[[key]]\nname = \"bob\"\nkey = \"sk-bob-0123456789ab\"\n",
      "keys.toml");
  const auto of_alice = create(line("a"), [](auto& one) { one.owner = "alice"; });
  run_until_ended({of_alice});
  const auto alice = status("sk-alice-0123456789");
  EXPECT_EQ(alice["batches"]["count"], 1);
  EXPECT_EQ(alice["key"]["name"], "alice");
  EXPECT_EQ(alice["key"]["budget_usd"], "2.5");
  EXPECT_EQ(alice["key"]["spent_usd"], batch(of_alice).progress.spent.to_string());
  const auto bob = status("sk-bob-0123456789ab");
  EXPECT_EQ(bob["batches"]["count"], 0);
  EXPECT_EQ(bob["cost_usd"], "0");
  EXPECT_TRUE(bob["models"].empty());
  const std::string errors = "/sluice/batches/" + of_alice + "/errors";
  EXPECT_EQ(get(errors, "sk-alice-0123456789").status, 200);
  EXPECT_EQ(get(errors, "sk-bob-0123456789ab").status, 404);
  EXPECT_EQ(get(errors).status, 401);
}

TEST_F(server_page, a_relay_that_cannot_be_reached_is_named) {
  relay.plan = [](const test::exchange_call&) { return test::unreachable_plan(); };
  const auto id = create(lines(3));
  runner();
  run([&] { return sender().now().cause == wait_cause::unreachable; });
  const auto now = status();
  EXPECT_EQ(now["waits"]["cause"], "unreachable");
  EXPECT_NE(now["waits"]["text"].get<std::string>().find("cannot be reached"), std::string::npos);
}

TEST_F(server_page, failed_lines_are_read_by_pages_while_the_batch_runs_and_after_it) {
  relay.plan = [](const test::exchange_call& call) {
    return call.body.find("gpt-9") != std::string::npos
               ? test::refusal_plan(400, "no such parameter")
               : test::completion_plan("x", std::chrono::seconds{30});
  };
  const auto id = create(line("a", "gpt-9") + line("b", "gpt-9") + line("c", "gpt-9") + line("d"));
  const std::string path = "/sluice/batches/" + id + "/errors";
  runner().count_in(figures);
  const auto failed = [&] {
    const auto live = runner().live(id);
    return live && live->progress.counts.failed == 3;
  };
  run(failed);
  const time_point later = time.now() + std::chrono::seconds{2};
  run([&] { return time.now() >= later; });
  ASSERT_FALSE(has_ended(id));
  const auto first = get(path, {}, "limit=2").json();
  ASSERT_EQ(first["data"].size(), 2U);
  EXPECT_EQ(first["has_more"], true);
  EXPECT_EQ(first["data"][0]["code"], "400");
  EXPECT_EQ(first["data"][0]["message"], "no such parameter");
  run_until_ended({id});
  const auto second = get(path, {}, "limit=2&after=" + first["next"].get<std::string>()).json();
  ASSERT_EQ(second["data"].size(), 1U);
  EXPECT_EQ(second["has_more"], false);
  std::set<std::string> ids;
  for (const auto& page : {first, second}) {
    for (const auto& one : page["data"]) ids.insert(one["custom_id"].get<std::string>());
  }
  EXPECT_EQ(ids, (std::set<std::string>{"a", "b", "c"}));
  EXPECT_EQ(get(path, {}, "after=1").status, 400);
  EXPECT_EQ(get(path, {}, "after=x").status, 400);
  EXPECT_EQ(get(path, {}, "limit=0").status, 400);
  EXPECT_EQ(get("/sluice/batches/batch_AAAAAAAAAAAAAAAAAAAAAAAA/errors").status, 404);
  EXPECT_EQ(get("/sluice/batches/../errors").status, 404);
}

TEST(batch_sums, many_batches_are_summed_over_pages) {
  test::memory_store records;
  records.add_file({"file-1", "a", "", "batch", 0, 0, {}});
  for (int i = 0; i < 2500; ++i) {
    store::batch_record one;
    one.id = "batch_" + std::to_string(i);
    one.owner = "a";
    one.input_file_id = "file-1";
    one.status = i % 5 == 0 ? batch_status::in_progress : batch_status::completed;
    if (i % 2 == 0) one.model = "m";
    one.progress.counts = {2, 1, 1};
    one.progress.cost = *usd::parse("0.01");
    ASSERT_TRUE(records.create_batch(one));
  }
  const auto sums = sum_batches(records, "a");
  EXPECT_EQ(sums.by_status.at(batch_status::in_progress), 500U);
  EXPECT_EQ(sums.open.size(), 500U);
  EXPECT_EQ(sums.ended.counts.total, 4000U);
  EXPECT_EQ(sums.ended.cost.to_string(), "20");
  EXPECT_EQ(sums.by_model.at("m").counts.completed, 1000U);
  EXPECT_EQ(sums.mixed.size(), 1000U);
  EXPECT_TRUE(sum_batches(records, "b").by_status.empty());
}

}  // namespace
}  // namespace sluice::server
