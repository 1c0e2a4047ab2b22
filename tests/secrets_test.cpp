#include "secrets.hpp"

#include <gmock/gmock.h>

#include "json_text.hpp"

namespace sluice {
namespace {

constexpr const char* key = "sk-0f9b3c7d5a1e8462/x";

std::string blotted(std::string text, const relay_options& relay) {
  secrets(relay).blot_out(text);
  return text;
}

relay_options with_key(std::string word) {
  relay_options relay;
  relay.api_key = std::move(word);
  return relay;
}

TEST(secrets, the_key_is_found_in_all_ways_to_say_it) {
  const struct {
    const char* what;
    const char* text;
    const char* shown;
  } rows[] = {
      {"as it is", "bad key sk-0f9b3c7d5a1e8462/x!", "bad key [key]!"},
      {"twice", "sk-0f9b3c7d5a1e8462/xsk-0f9b3c7d5a1e8462/x", "[key][key]"},
      {"with a slash escaped", R"("sk-0f9b3c7d5a1e8462\/x")", R"("[key]")"},
      {"in escapes", R"("\u0073\u006B-0f9b3c7d5a1e8462\u002fx")", R"("[key]")"},
      {"behind a line's end", R"("\nsk-0f9b3c7d5a1e8462/x")", R"("\n[key]")"},
      {"behind a backslash", R"("\\sk-0f9b3c7d5a1e8462/x")", R"("\\[key]")"},
      {"behind a lone one, in plain text", R"(\sk-0f9b3c7d5a1e8462/x)", R"(\[key])"},
      {"an escape that is escaped is none", R"("\\u0073k-0f9b3c7d5a1e8462/x")",
       R"("\\u0073k-0f9b3c7d5a1e8462/x")"},
      {"cut", "the key sk-0f9b3c7d5…", "the key [key]…"},
      {"cut before it says much", "the key sk-0f9b…", "the key sk-0f9b…"},
      {"another one", "sk-0f9b3c7d5a1e8463/x", "sk-0f9b3c7d5a1e8463/x"},
      {"nothing", "", ""},
  };
  for (const auto& row : rows) EXPECT_EQ(blotted(row.text, with_key(key)), row.shown) << row.what;
}

TEST(secrets, json_stays_json) {
  const std::string text = blotted(R"("\nok-0123456789abcdef")", with_key("nok-0123456789abcdef"));
  EXPECT_EQ(text, R"("\n[key]")");
  EXPECT_FALSE(json_fault(text));
}

TEST(secrets, a_word_that_is_none_stays) {
  for (const char* word : {"", "any", "no-secret-at-al", "12345678901234567890"}) {
    const std::string text = "any text, no-secret-at-al, 12345678901234567890";
    EXPECT_EQ(blotted(text, with_key(word)), text) << word;
  }
}

TEST(secrets, headers_that_hold_one_are_told_by_their_names) {
  relay_options relay;
  relay.headers = {{"Authorization", "Bearer header-0123456789 "},
                   {"X-Api-Key", "x-key-0123456789abc"},
                   {"X-Team", "the-blue-team-of-all"}};
  EXPECT_EQ(blotted("header-0123456789, x-key-0123456789abc, the-blue-team-of-all", relay),
            "[key], [key], the-blue-team-of-all");
}

TEST(secrets, or_by_values_that_are_written_like_one) {
  relay_options relay;
  relay.headers = {{"X-Upstream", "Bearer header-0123456789"},
                   {"X-Other", "sk-0123456789abcdef"},
                   {"X-Author", "the-author-of-it-all"}};
  EXPECT_EQ(blotted("header-0123456789, sk-0123456789abcdef, the-author-of-it-all", relay),
            "[key], [key], the-author-of-it-all");
}

TEST(secrets, names_of_secrets_and_words_that_look_alike) {
  for (const char* name :
       {"Authorization", "Proxy-Authorization", "X-Api-Key", "apikey", "api_key", "Cookie",
        "X-Auth-Token", "access_token", "Ocp-Apim-Subscription-Key", "CF-Access-Client-Secret",
        "X-Password", "authorisation", "X-Author-Key", "X-Tokens-Secret"}) {
    EXPECT_TRUE(is_secret_name(name)) << name;
  }
  for (const char* name : {"X-Author", "X-Authority", "X-Max-Tokens", "X-Keywords", "X-Tokenizer",
                           "X-Team", "HTTP-Referer", ""}) {
    EXPECT_FALSE(is_secret_name(name)) << name;
  }
}

TEST(secrets, a_parameter_of_the_address_may_be_one) {
  relay_options relay;
  relay.base_url = "https://host/x?api-version=2024-06-01-preview&api-key=0123456789abcdef-x#";
  EXPECT_EQ(blotted("2024-06-01-preview 0123456789abcdef-x", relay), "2024-06-01-preview [key]");
}

TEST(secrets, every_cookie_is_one) {
  relay_options relay;
  relay.headers = {
      {"Cookie", "session=session-0123456789; theme=dark;csrf=\"csrf-0123456789ab==\" ;"}};
  EXPECT_EQ(blotted("session-0123456789, dark, csrf-0123456789ab==, session", relay),
            "[key], dark, [key], session");
}

TEST(secrets, of_two_the_longer_one_goes_whole) {
  relay_options relay = with_key("sk-0123456789abcdef");
  relay.headers = {{"Authorization", "Bearer sk-0123456789abcdef-admin"}};
  EXPECT_EQ(blotted("sk-0123456789abcdef-admin", relay), "[key]");
}

}  // namespace
}  // namespace sluice
