#include "notify/message.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <string>

#include "notify/signature.hpp"
#include "sluice/error.hpp"

namespace sluice::notify {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

constexpr const char* url = "https://hooks.example/way/sk-token?key=hush";
constexpr double now = 1'700'000'000.75;

run_end some_end() {
  return {.run = "0a1b2c3d",
          .status = "stopped",
          .exit_status = 3,
          .sentence = "stopped: it is \"06:00\"; 1 of 2 succeeded",
          .jobs = {"{\n  \"job\": \"a.jsonl\"\n}", R"({"job":"b.jsonl"})"}};
}

TEST(message, the_standard_form_has_the_totals_of_every_job) {
  const auto made = compose(webhook_form::standard, url, "", some_end(), now);
  EXPECT_EQ(made.url, url);
  const auto body = json::parse(made.body);
  EXPECT_EQ(body["type"], "run.stopped");
  EXPECT_EQ(body["timestamp"], "2023-11-14T22:13:20Z");
  EXPECT_EQ(body["data"]["run"], "0a1b2c3d");
  EXPECT_EQ(body["data"]["status"], "stopped");
  EXPECT_EQ(body["data"]["exit_status"], 3);
  EXPECT_EQ(body["data"]["text"], "stopped: it is \"06:00\"; 1 of 2 succeeded");
  EXPECT_EQ(body["data"]["jobs"], json::parse(R"([{"job":"a.jsonl"},{"job":"b.jsonl"}])"));
  EXPECT_THAT(made.headers, testing::ElementsAre(testing::Pair("webhook-id", "msg_0a1b2c3d"),
                                                 testing::Pair("webhook-timestamp", "1700000000")));
}

TEST(message, the_standard_form_is_signed_where_there_is_a_secret) {
  const auto made = compose(webhook_form::standard, url, "whsec_Zm9v", some_end(), now);
  ASSERT_EQ(made.headers.size(), 3U);
  EXPECT_EQ(made.headers[2].first, "webhook-signature");
  EXPECT_EQ(made.headers[2].second,
            standard_signature("foo", "msg_0a1b2c3d", 1700000000, made.body));
}

TEST(message, chat_robots_get_one_line_of_text) {
  const std::string text = "sluice: stopped: it is \"06:00\"; 1 of 2 succeeded (exit status 3)";
  const std::pair<webhook_form, json> rows[] = {
      {webhook_form::feishu, {{"msg_type", "text"}, {"content", {{"text", text}}}}},
      {webhook_form::dingtalk, {{"msgtype", "text"}, {"text", {{"content", text}}}}},
      {webhook_form::wecom, {{"msgtype", "text"}, {"text", {{"content", text}}}}},
      {webhook_form::slack, {{"text", text}}}};
  for (const auto& [form, body] : rows) {
    const auto made = compose(form, url, "", some_end(), now);
    EXPECT_EQ(json::parse(made.body), body);
    EXPECT_EQ(made.url, url);
    EXPECT_TRUE(made.headers.empty());
  }
}

TEST(message, feishu_and_dingtalk_have_signatures_of_their_own) {
  const auto feishu =
      json::parse(compose(webhook_form::feishu, url, "robot", some_end(), now).body);
  EXPECT_EQ(feishu["timestamp"], "1700000000");
  EXPECT_EQ(feishu["sign"], feishu_signature("robot", 1700000000));
  EXPECT_EQ(feishu_signature("robot", 1700000000), base64(hmac_sha256("1700000000\nrobot", "")));
  const auto dingtalk = compose(webhook_form::dingtalk, url, "robot", some_end(), now).url;
  EXPECT_THAT(dingtalk, testing::StartsWith(std::string(url) + "&timestamp=1700000000000&sign="));
  EXPECT_THAT(dingtalk, testing::EndsWith("%3D")) << "a digest in base64 ends with =";
  EXPECT_THAT(compose(webhook_form::dingtalk, "https://h/x", "robot", some_end(), now).url,
              testing::StartsWith("https://h/x?timestamp="));
}

TEST(message, a_long_text_is_cut_between_characters) {
  run_end end = some_end();
  end.sentence = std::string(1991, 'x') + "\u4f60\u597d";
  const auto text =
      json::parse(compose(webhook_form::wecom, url, "", end, now).body)["text"]["content"]
          .get<std::string>();
  EXPECT_LE(text.size(), 2000U);
  EXPECT_GE(text.size(), 1997U);
}

TEST(message, an_answer_is_judged_by_its_status_and_by_the_code_of_a_chat_robot) {
  using enum verdict::kind;
  struct row {
    webhook_form form;
    int status;
    const char* body;
    verdict::kind what;
  };
  const row rows[] = {
      {webhook_form::standard, 200, "", delivered},
      {webhook_form::standard, 204, "", delivered},
      {webhook_form::standard, 202, R"({"errcode":1})", delivered},
      {webhook_form::standard, 301, "", refused},
      {webhook_form::standard, 404, "", refused},
      {webhook_form::standard, 408, "", try_again},
      {webhook_form::standard, 429, "", try_again},
      {webhook_form::standard, 500, "", try_again},
      {webhook_form::standard, 503, "", try_again},
      {webhook_form::feishu, 200, R"({"code":0,"msg":"success"})", delivered},
      {webhook_form::feishu, 200, R"({"StatusCode":0})", delivered},
      {webhook_form::feishu, 200, R"({"code":19021,"msg":"sign match fail"})", refused},
      {webhook_form::dingtalk, 200, R"({"errcode":0,"errmsg":"ok"})", delivered},
      {webhook_form::dingtalk, 200, R"({"errcode":310000,"errmsg":"keywords"})", refused},
      {webhook_form::wecom, 200, R"({"errcode":93000,"errmsg":"invalid webhook url"})", refused},
      {webhook_form::slack, 200, "ok", delivered},
      {webhook_form::slack, 403, "invalid_token", refused},
  };
  for (const auto& [form, status, body, what] : rows) {
    EXPECT_EQ(judge(form, status, body).what, what) << status << ' ' << body;
  }
  EXPECT_EQ(judge(webhook_form::wecom, 200, R"({"errcode":93000})").why,
            R"(code 93000: {"errcode":93000})");
  EXPECT_EQ(judge(webhook_form::slack, 403, "no\x1b[31m").why, "HTTP 403: no\\x1b[31m");
}

TEST(message, a_few_tries_with_longer_and_longer_pauses) {
  EXPECT_EQ(pause_after(1), std::chrono::seconds{1});
  EXPECT_EQ(pause_after(3), std::chrono::seconds{8});
  EXPECT_FALSE(pause_after(4));
}

std::string refused(webhook_form form, const std::string& address, const std::string& secret) {
  try {
    check_webhook(form, address, secret);
  } catch (const fatal_error& thrown) {
    return thrown.what();
  }
  return {};
}

TEST(message, an_address_or_a_secret_that_cannot_be_used_is_refused_without_showing_it) {
  using enum webhook_form;
  EXPECT_EQ(refused(standard, url, ""), "");
  EXPECT_EQ(refused(standard, url, "whsec_Zm9v"), "");
  EXPECT_EQ(refused(feishu, url, "any words"), "");
  EXPECT_THAT(refused(standard, "hooks.example/sk-token", ""), HasSubstr("no https://"));
  EXPECT_THAT(refused(standard, "ftp://hooks.example/sk-token", ""), HasSubstr("no https://"));
  EXPECT_THAT(refused(standard, "https://hooks.example/#sk-token", ""), HasSubstr("has a #"));
  EXPECT_THAT(refused(standard, "https://a b/sk-token", ""), HasSubstr("not an address"));
  EXPECT_THAT(refused(standard, url, "any words"), HasSubstr("openssl rand"));
  for (const char* address : {"hooks.example/sk-token", "https://a b/sk-token"}) {
    EXPECT_THAT(refused(standard, address, ""), Not(HasSubstr("sk-token")));
  }
  EXPECT_THAT(refused(standard, url, "any words"), Not(HasSubstr("any words")));
  EXPECT_EQ(shown_host(url), "https://hooks.example");
}

}  // namespace
}  // namespace sluice::notify
