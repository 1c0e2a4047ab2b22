#include "sluice/config.hpp"

#include <gmock/gmock.h>

#include <functional>

#include "sluice/error.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;

TEST(config, the_defaults_are_valid) {
  const config options;
  EXPECT_NO_THROW(options.check());
  EXPECT_EQ(options.pace.requests_per_minute, 200U);
  EXPECT_EQ(options.pace.concurrency, 64U);
  EXPECT_EQ(options.pace.max_attempts, 5U);
}

TEST(config, an_invalid_value_is_refused_with_the_name_of_its_flag) {
  const struct {
    const char* words;
    std::function<void(config&)> spoil;
  } rows[] = {
      {"--base-url", [](config& c) { c.relay.base_url = "host"; }},
      {"--header",
       [](config& c) {
         c.relay.headers = {{"", "x"}};
       }},
      {"--header",
       [](config& c) {
         c.relay.headers = {{"content-Length", "3"}};
       }},
      {"--header",
       [](config& c) {
         c.relay.headers = {{"A B", "x"}};
       }},
      {"--header",
       [](config& c) {
         c.relay.headers = {{"A:", "x"}};
       }},
      {"--header",
       [](config& c) {
         c.relay.headers = {{"A", "x\r\nB: y"}};
       }},
      {"--header",
       [](config& c) {
         c.relay.headers = {{"A", "x"}, {"B", std::string("\0", 1)}};
       }},
      {"API key", [](config& c) { c.relay.api_key = "sk- x"; }},
      {"API key", [](config& c) { c.relay.api_key = "sk-x\n"; }},
      {"API key", [](config& c) { c.relay.api_key = "sk-é"; }},
      {"--connect-timeout", [](config& c) { c.relay.connect_timeout = 0s; }},
      {"--first-byte-timeout", [](config& c) { c.relay.first_byte_timeout = 0s; }},
      {"--idle-timeout", [](config& c) { c.relay.idle_timeout = -1s; }},
      {"--timeout", [](config& c) { c.relay.total_timeout = 0s; }},
      {"--window-margin", [](config& c) { c.pace.window_margin = -1ns; }},
      {"--window-margin", [](config& c) { c.pace.window_margin = 60s + 1ns; }},
      {"--max-attempts", [](config& c) { c.pace.max_attempts = 0; }},
  };
  for (const auto& row : rows) {
    config options;
    row.spoil(options);
    try {
      options.check();
      ADD_FAILURE() << row.words;
    } catch (const fatal_error& fault) {
      EXPECT_THAT(fault.what(), testing::HasSubstr(row.words));
    }
  }
}

TEST(config, a_refused_key_is_not_shown) {
  config options;
  options.relay.api_key = "sk-very secret";
  try {
    options.check();
    ADD_FAILURE();
  } catch (const fatal_error& fault) {
    EXPECT_THAT(fault.what(), testing::Not(testing::HasSubstr("secret")));
  }
}

TEST(config, a_refusal_is_one_line) {
  config options;
  options.relay.headers = {{"A\x1b[2J\nB\x7f", "x"}};
  try {
    options.check();
    ADD_FAILURE();
  } catch (const fatal_error& fault) {
    EXPECT_STREQ(
        fault.what(),
        "--header 'A\\x1b[2J\\x0aB\\x7f': not a header name; write it like 'X-Team: blue'");
  }
  options.relay.headers.clear();
  options.relay.base_url = "https://\xff\n";
  try {
    options.check();
    ADD_FAILURE();
  } catch (const fatal_error& fault) {
    EXPECT_THAT(fault.what(), testing::HasSubstr("'https://\xEF\xBF\xBD\\x0a' is not a URL"));
  }
}

TEST(config, valid_headers_are_accepted) {
  config options;
  options.relay.headers = {{"X-Team", "blue\tand green"}, {"a!#$%&'*+-.^_`|~", "ü"}};
  EXPECT_NO_THROW(options.check());
}

relay_member member(const std::string& name, const std::string& url = "https://relay.example") {
  relay_member made;
  made.name = name;
  made.relay.base_url = url;
  return made;
}

TEST(config, an_invalid_pool_is_refused_with_the_name_of_the_member) {
  const struct {
    const char* words;
    std::function<void(config&)> spoil;
  } rows[] = {
      {"no name", [](config& c) { c.pool.push_back(member("")); }},
      {"blue",
       [](config& c) {
         c.pool = {member("blue"), member("blue")};
       }},
      {"blue", [](config& c) { c.pool = {member("blue", "")}; }},
      {"'relay'", [](config& c) { c.pool = {member("blue", "relay")}; }},
      {"blue",
       [](config& c) {
         c.pool = {member("blue")};
         c.pool[0].weight = 0;
       }},
      {"blue",
       [](config& c) {
         c.pool = {member("blue")};
         c.pool[0].relay.api_key = "sk- x";
       }},
      {"the proxy",
       [](config& c) {
         c.pool = {member("blue")};
         c.pool[0].relay.proxy = "https://p";
       }},
  };
  for (const auto& row : rows) {
    config options;
    row.spoil(options);
    try {
      options.check();
      ADD_FAILURE() << row.words;
    } catch (const fatal_error& fault) {
      EXPECT_EQ(fault.why(), fatal_error::kind::cannot_start);
      EXPECT_THAT(fault.what(), testing::HasSubstr(row.words));
    }
  }
}

TEST(config, pool_members_inherit_what_they_do_not_set) {
  config options;
  options.relay.api_key = "sk-of-the-run";
  options.relay.idle_timeout = 3s;
  options.relay.proxy = "http://other:1";
  ASSERT_EQ(options.relays().size(), 1U);
  EXPECT_EQ(options.relays()[0].name, "");
  EXPECT_EQ(options.relays()[0].relay.proxy, "http://other:1");

  options.pool = {member("a", "https://a.example"), member("b", "https://b.example")};
  options.pool[1].relay.api_key = "sk-b";
  options.pool[1].relay.idle_timeout = 99s;  // not a setting of a member
  const auto relays = options.relays();
  ASSERT_EQ(relays.size(), 2U);
  EXPECT_EQ(relays[0].relay.base_url, "https://a.example");
  EXPECT_EQ(relays[0].relay.api_key, "sk-of-the-run");
  EXPECT_EQ(relays[0].relay.proxy, "") << "the proxy is not inherited";
  EXPECT_EQ(relays[1].relay.api_key, "sk-b");
  EXPECT_EQ(relays[1].relay.idle_timeout, 3s);
}

}  // namespace
}  // namespace sluice
