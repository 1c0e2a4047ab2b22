#include "server/foreign_pages.hpp"

#include <gmock/gmock.h>

#include <string>
#include <utility>
#include <vector>

namespace sluice::server {
namespace {

using testing::HasSubstr;

using fields = std::vector<std::pair<std::string, std::string>>;

// The error code of the refusal; empty if the request may pass.
std::string refused(const fields& of, const std::string& method = "POST",
                    const own_names& own = {}) {
  http_server::request_head head;
  head.method = method;
  for (const auto& [name, value] : of) head.fields.add(name, value);
  const auto why = refuse_foreign_page(head, own);
  EXPECT_EQ(why ? why->status : 403, 403);
  return why ? why->code.value_or("no code") : "";
}

TEST(foreign_pages, programs_pass_under_every_name_of_this_machine) {
  for (const std::string host :
       {"127.0.0.1:8080", "127.0.0.1", "127.9.9.9:1", "localhost", "LocalHost:8080", "localhost.",
        "app.localhost:8080", "[::1]:8080", "[::1]", "[::ffff:127.0.0.1]:80", "192.168.1.7:8080",
        "0.0.0.0:8080"}) {
    EXPECT_EQ(refused({{"Host", host}}), "") << host;
  }
  EXPECT_EQ(refused({}), "") << "HTTP/1.0 has no Host";
}

TEST(foreign_pages, a_name_that_leads_here_is_not_a_name_of_this_machine) {
  for (const std::string host :
       {"evil.example:8080", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:1",
        "notlocalhost", "127.0.0.1.nip.io", "x", "[evil]:8080", ""}) {
    for (const std::string method : {"GET", "POST", "DELETE"}) {
      EXPECT_EQ(refused({{"Host", host}}, method), "host_not_allowed") << host;
    }
  }
  // A page under this name has the same origin as its own requests.
  EXPECT_EQ(refused({{"Host", "evil.example:8080"},
                     {"Origin", "http://evil.example:8080"},
                     {"Sec-Fetch-Site", "same-origin"}}),
            "host_not_allowed");
}

TEST(foreign_pages, a_name_of_the_settings_is_one_of_its_own) {
  const own_names own{{"sluice.example", "fd00::1"}};
  EXPECT_EQ(refused({{"Host", "sluice.example"}}, "POST", own), "");
  EXPECT_EQ(refused({{"Host", "SLUICE.example:8443"}}, "POST", own), "");
  EXPECT_EQ(refused({{"Host", "other.sluice.example"}}, "POST", own), "host_not_allowed");
}

TEST(foreign_pages, a_page_of_another_site_may_send_nothing) {
  const std::string host = "127.0.0.1:8080";
  for (const fields& of : std::vector<fields>{{{"Sec-Fetch-Site", "cross-site"}},
                                              {{"Sec-Fetch-Site", "same-site"}},
                                              {{"Sec-Fetch-Site", "anything"}},
                                              {{"Origin", "https://evil.example"}},
                                              {{"Origin", "http://127.0.0.1:3000"}},
                                              {{"Origin", "http://localhost:8080"}},
                                              {{"Origin", "null"}},
                                              {{"Origin", ""}},
                                              {{"Origin", "127.0.0.1:8080"}}}) {
    fields all = of;
    all.emplace_back("Host", host);
    EXPECT_EQ(refused(all), "origin_not_allowed") << of[0].first << " " << of[0].second;
    EXPECT_EQ(refused(all, "GET"), "origin_not_allowed") << of[0].first << " " << of[0].second;
  }
}

TEST(foreign_pages, the_own_page_and_links_to_it_work) {
  const std::string host = "localhost:8080";
  EXPECT_EQ(refused({{"Host", host}, {"Sec-Fetch-Site", "same-origin"}}), "");
  EXPECT_EQ(refused({{"Host", host}, {"Sec-Fetch-Site", "none"}}), "");
  EXPECT_EQ(refused({{"Host", host}, {"Origin", "http://localhost:8080"}}), "");
  const fields link{
      {"Host", host}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Mode", "navigate"}};
  EXPECT_EQ(refused(link, "GET"), "");
  EXPECT_EQ(refused(link, "POST"), "origin_not_allowed") << "a form";
  // A proxy may replace Host by the server's address. The browser still knows the real name.
  EXPECT_EQ(refused({{"Host", "127.0.0.1:8080"},
                     {"Origin", "https://sluice.example"},
                     {"Sec-Fetch-Site", "same-origin"}}),
            "");
}

TEST(foreign_pages, the_refusal_says_what_to_do) {
  http_server::request_head head;
  head.fields.add("Host", "team.example:8080");
  const auto why = refuse_foreign_page(head, {});
  ASSERT_TRUE(why);
  EXPECT_THAT(why->message, HasSubstr("--allow-host team.example,"));
  EXPECT_THAT(why->message, HasSubstr("--keys"));
  http_server::request_head hostile;
  hostile.fields.add("Host", "a\x1b[31m" + std::string(5000, 'x'));
  const auto long_one = refuse_foreign_page(hostile, {});
  ASSERT_TRUE(long_one);
  EXPECT_LT(long_one->message.size(), 1000U);
  EXPECT_EQ(long_one->message.find('\x1b'), std::string::npos);
}

TEST(foreign_pages, the_name_in_an_authority) {
  EXPECT_EQ(host_name("Example.COM:80"), "example.com");
  EXPECT_EQ(host_name("[FE80::1]:80"), "fe80::1");
  EXPECT_EQ(host_name("::1"), "::1");
  EXPECT_EQ(host_name("["), "");
}

}  // namespace
}  // namespace sluice::server
