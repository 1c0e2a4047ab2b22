#include "upstream/relay_inquiry.hpp"

#include <gmock/gmock.h>

#include "support/asked_site.hpp"

namespace sluice {
namespace {

using testing::HasSubstr;

struct relay_inquiry_test : testing::Test {
  relay_answer get(const std::string& path) {
    relay_inquiry relay(site.client, site.options);
    return site.run(relay.get(path));
  }
  test::asked_site site;
};

TEST_F(relay_inquiry_test, gives_status_and_body) {
  site.has("/v1/models", "\xEF\xBB\xBF{}");
  const auto answer = get("/v1/models");
  EXPECT_TRUE(answer.succeeded());
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "{}") << "the byte order mark is removed";
}

TEST_F(relay_inquiry_test, a_key_in_an_answer_is_redacted) {
  site.has("/a", R"({"error":{"message":"bad key )" + site.options.api_key + R"("}})", 401);
  const auto answer = get("/a");
  EXPECT_EQ(answer.body.find(site.options.api_key), std::string::npos);
  EXPECT_EQ(said(answer), "401 (bad key [key])");
}

TEST_F(relay_inquiry_test, a_redirect_is_reported_and_not_followed) {
  test::exchange_plan planned;
  planned.head.status = 302;
  planned.head.fields.add("Location",
                          "https://elsewhere.example/login?key=" + site.options.api_key);
  site.answers["/a"] = planned;
  const auto answer = get("/a");
  EXPECT_FALSE(answer.succeeded());
  EXPECT_EQ(said(answer),
            "302, a redirect to https://elsewhere.example/login?key=[key], which is not followed");
  EXPECT_EQ(site.asked.size(), 1U);
}

TEST_F(relay_inquiry_test, describes_an_unexpected_answer) {
  const struct {
    int status;
    const char* body;
    const char* text;
  } rows[] = {
      {404, R"__({"error":{"message":"Invalid URL (GET /a)"}})__", "404"},
      {401, R"__({"error":{"message":"无效的令牌 (request id: 2024)"}})__", "401 (无效的令牌)"},
      {429, "", "429"},
      {200, R"({"success":false,"message":"log in"})", "200 (log in)"},
      {200, "{}", "200, without the expected content"},
      {200, "<html><title>Just a moment...</title></html>", "200, a web page (Just a moment...)"},
      {503, "<html><body></body></html>", "503, a web page"},
  };
  for (const auto& row : rows) {
    site.has("/a", row.body, row.status);
    EXPECT_EQ(said(get("/a")), row.text);
  }
}

TEST_F(relay_inquiry_test, an_answer_that_is_too_large_is_an_error) {
  site.options.max_response_bytes = 10;
  site.has("/a", "0123456789");
  EXPECT_TRUE(get("/a").succeeded());
  site.has("/a", "0123456789a");
  const auto answer = get("/a");
  EXPECT_FALSE(answer.succeeded());
  EXPECT_FALSE(answer.is_hopeless());
  EXPECT_EQ(said(answer), "more than 10 bytes");
}

TEST_F(relay_inquiry_test, a_relay_that_cannot_be_reached_is_hopeless) {
  site.answers["/a"] = test::unreachable_plan();
  const auto answer = get("/a");
  EXPECT_EQ(answer.status, 0);
  EXPECT_TRUE(answer.is_hopeless());
  EXPECT_EQ(said(answer), "connection refused");
}

}  // namespace
}  // namespace sluice
