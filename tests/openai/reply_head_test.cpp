#include "openai/reply_head.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace sluice::openai {
namespace {

using list = std::vector<std::pair<std::string, std::string>>;

reply_head read(int status, const list& sent) {
  header_fields fields;
  for (const auto& [name, value] : sent) fields.add(name, value);
  return read_head(status, fields);
}

TEST(reply_head_test, picks_what_decides_something) {
  const reply_head head = read(302, {{"Date", "Mon, 01 Jan 2024 00:00:00 GMT"},
                                     {"CONTENT-type", "text/html; charset=utf-8"},
                                     {"location", "https://elsewhere.example/"},
                                     {"X-Request-ID", "req_1"}});
  EXPECT_EQ(head.status, 302);
  EXPECT_EQ(head.content_type, "text/html; charset=utf-8");
  EXPECT_EQ(head.location, "https://elsewhere.example/");
  EXPECT_EQ(head.request_id, "req_1");
  EXPECT_TRUE(head.hints.empty());
  EXPECT_EQ(read(200, {}).content_type, "");
}

TEST(reply_head_test, the_last_of_two_counts) {
  const reply_head head = read(429, {{"Content-Type", "text/html"},
                                     {"Content-Type", "application/json"},
                                     {"Location", "/a"},
                                     {"Location", "/b"},
                                     {"Retry-After", "1"},
                                     {"retry-after", "2"}});
  EXPECT_EQ(head.content_type, "application/json");
  EXPECT_EQ(head.location, "/b");
  EXPECT_EQ(head.hints, (hint_fields{{"retry-after", "2"}}));
}

TEST(reply_head_test, the_id_of_a_relay_stands_in_for_the_vendors) {
  const struct {
    const char* name;
    list sent;
    const char* id;
  } rows[] = {
      {"none", {}, ""},
      {"the vendor's", {{"x-request-id", "a"}}, "a"},
      {"the relay's", {{"X-Oneapi-Request-Id", "b"}}, "b"},
      {"both, the vendor's first", {{"x-request-id", "a"}, {"x-oneapi-request-id", "b"}}, "a"},
      {"both, the relay's first", {{"x-oneapi-request-id", "b"}, {"x-request-id", "a"}}, "a"},
      {"an empty one is none", {{"x-request-id", ""}, {"x-oneapi-request-id", "b"}}, "b"},
      {"the relay's, twice", {{"x-oneapi-request-id", "b"}, {"x-oneapi-request-id", "c"}}, "b"},
      {"the vendor's, twice", {{"x-request-id", "a"}, {"x-request-id", "d"}}, "d"},
  };
  for (const auto& row : rows) EXPECT_EQ(read(200, row.sent).request_id, row.id) << row.name;
}

TEST(reply_head_test, the_hints_of_a_refusal_have_names_in_lower_case) {
  const list sent{{"Retry-After", "7"},
                  {"Retry-After-Ms", "7000"},
                  {"X-Should-Retry", "true"},
                  {"X-RateLimit-Reset-Requests", "1s"},
                  {"x-ratelimit-remaining-tokens", "0"},
                  {"X-RateLimit-Limit-Requests", "60"},
                  {"Age", "9"}};
  const hint_fields hints{{"retry-after", "7"},
                          {"retry-after-ms", "7000"},
                          {"x-should-retry", "true"},
                          {"x-ratelimit-reset-requests", "1s"},
                          {"x-ratelimit-remaining-tokens", "0"}};
  for (const int status : {429, 503, 400, 302}) {
    EXPECT_EQ(read(status, sent).hints, hints) << status;
  }
  EXPECT_TRUE(read(200, sent).hints.empty()) << "a success asks nobody to wait";
}

}  // namespace
}  // namespace sluice::openai
