#include "views/shown_command.hpp"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace sluice::cli {
namespace {

const std::string key = "sk-0123456789abcdef";

std::string shown(std::vector<std::string> words,
                  std::vector<std::pair<std::string, std::string>> headers = {}) {
  relay_member member;
  member.relay.api_key = key;
  member.relay.headers = std::move(headers);
  words.insert(words.begin(), "sluice");
  return again(without_secrets(words, {member}, {"header", "notify", "store"}));
}

TEST(shown_command, is_typed_again_as_it_was) {
  for (const char* header :
       {"X-Team: blue", "HTTP-Referer: https://acme.example/?a=b", "X-Title: it's \"mine\" for $5",
        "OpenAI-Organization: org-123", "X-Author: Lu Xun", "X-Max-Tokens: 100", "X-Keywords: a, b",
        "X-Note: a short one", "Accept-Language: zh-CN"}) {
    EXPECT_EQ(shown({"run", "--header", header}), "sluice run --header " + quoted(header));
    EXPECT_EQ(shown({"run", std::string("--header=") + header}),
              "sluice run " + quoted(std::string("--header=") + header));
  }
  EXPECT_EQ(quoted("X-Title: it's mine"), R"('X-Title: it'\''s mine')");
  EXPECT_EQ(shown({"run", "--base-url", "https://host/x?api-version=2024-06-01#"}),
            "sluice run --base-url 'https://host/x?api-version=2024-06-01#'");
  EXPECT_EQ(shown({"run", "--store", "postgresql://me@db.example:5432/sluice"}),
            "sluice run --store postgresql://me@db.example:5432/sluice");
  EXPECT_EQ(shown({"run", "--system", "See https://x.org: ask help@x.org"}),
            "sluice run --system 'See https://x.org: ask help@x.org'");
  EXPECT_EQ(shown({"run", "--api-key-file", "/home/me/.key", "what?key=x.jsonl"}),
            "sluice run --api-key-file /home/me/.key 'what?key=x.jsonl'");
}

TEST(shown_command, names_what_is_to_stand_where_a_secret_did) {
  const std::string with = "\n          with ";
  const std::string place = " in the place of [key]";
  const struct {
    std::vector<std::string> words;
    std::string text;
  } rows[] = {
      {{"--header", "Authorization: Bearer abc"},
       "--header 'Authorization: [key]'" + with + "the value of Authorization" + place},
      {{"--header=X-Api-Key:abc"},
       "'--header=X-Api-Key: [key]'" + with + "the value of X-Api-Key" + place},
      {{"--header", "cookie: a=b"},
       "--header 'cookie: [key]'" + with + "the value of cookie" + place},
      {{"--header", "cf-aig-authorization: Bearer abc"},
       "--header 'cf-aig-authorization: [key]'" + with + "the value of cf-aig-authorization" +
           place},
      {{"--header", "X-Upstream: bearer abc"},
       "--header 'X-Upstream: [key]'" + with + "the value of X-Upstream" + place},
      {{"--header", "X-Other: sk-fedcba9876543210"},
       "--header 'X-Other: [key]'" + with + "the value of X-Other" + place},
      {{"--header", "X-Note: mine is " + key + "!"},
       "--header 'X-Note: mine is [key]!'" + with + "the value of X-Note" + place},
      {{"--base-url", "https://host/x?v=1&key=abc&sig=2#"},
       "--base-url 'https://host/x?v=1&key=[key]&sig=2#'" + with + "the value of key" + place},
      {{"--base-url=https://host/x?token=a&key=b#"},
       "'--base-url=https://host/x?token=[key]&key=[key]#'" + with +
           "the value of token, then the value of key" + place},
      {{"--notify", "https://robot.example/abc"},
       "--notify '[key]'" + with + "the address of --notify" + place},
      {{"--store", "postgresql://me:S3cret@db.example:5432/sluice"},
       "--store 'postgresql://me:[key]@db.example:5432/sluice'" + with + "the value of password" +
           place},
      {{"--store=postgres://me:p@ss@db/x?sslmode=require&password=abc"},
       "'--store=postgres://me:[key]@db/x?sslmode=require&password=[key]'" + with +
           "the value of password" + place},
      {{"--store", "host=db password=abc"},
       "--store '[key]'" + with + "the value of --store" + place},
      {{"-o", key + ".jsonl"}, "-o '[key].jsonl'" + with + "the key" + place},
      {{"--header", "Authorization: Bearer abc", "--header", "X-Team: blue", "--header",
        "Cookie: c"},
       "--header 'Authorization: [key]' --header 'X-Team: blue' --header 'Cookie: [key]'" + with +
           "the value of Authorization, then the value of Cookie" + place},
  };
  for (const auto& row : rows) EXPECT_EQ(shown(row.words), "sluice " + row.text);
}

TEST(shown_command, names_the_secrets_in_chinese) {
  EXPECT_EQ(again({{"sluice", "[key]"}, {worded("the value of {}", "X-Key"), worded("the key")}},
                  {}, language::chinese),
            "sluice '[key]'\n          其中的 [key] 依次换成 X-Key 的值、密钥");
}

TEST(shown_command, leaves_out_what_would_begin_anew) {
  EXPECT_EQ(shown({"run", "--fresh", "x.jsonl"}), "sluice run x.jsonl");
  EXPECT_EQ(again({{"sluice", "--retry-failed"}, {}}, " --retry-failed"), "sluice --retry-failed");
}

TEST(shown_command, has_a_flag_once) {
  EXPECT_EQ(again({{"sluice", "run", "--budget", "1", "x.jsonl"}, {}}, " --budget 2"),
            "sluice run x.jsonl --budget 2");
  EXPECT_EQ(again({{"sluice", "run", "--budget=1", "--budget-mode", "run"}, {}}, " --budget 2"),
            "sluice run --budget-mode run --budget 2");
}

}  // namespace
}  // namespace sluice::cli
