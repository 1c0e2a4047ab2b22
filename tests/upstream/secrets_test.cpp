#include "upstream/secrets.hpp"

#include <gmock/gmock.h>

#include <random>
#include <string>
#include <vector>

#include "json/text.hpp"

namespace sluice {
namespace {

constexpr const char* key = "sk-0f9b3c7d5a1e8462/x";

std::string redacted(std::string text, const relay_options& relay) {
  secrets(relay).redact(text);
  return text;
}

relay_options with_key(std::string word) {
  relay_options relay;
  relay.api_key = std::move(word);
  return relay;
}

TEST(secrets, the_key_is_found_in_all_its_forms) {
  const struct {
    const char* what;
    const char* text;
    const char* shown;
  } rows[] = {
      {"as plain text", "bad key sk-0f9b3c7d5a1e8462/x!", "bad key [key]!"},
      {"twice", "sk-0f9b3c7d5a1e8462/xsk-0f9b3c7d5a1e8462/x", "[key][key]"},
      {"with a slash escaped", R"("sk-0f9b3c7d5a1e8462\/x")", R"("[key]")"},
      {"in escapes", R"("\u0073\u006B-0f9b3c7d5a1e8462\u002fx")", R"("[key]")"},
      {"after a line break", R"("\nsk-0f9b3c7d5a1e8462/x")", R"("\n[key]")"},
      {"after a backslash", R"("\\sk-0f9b3c7d5a1e8462/x")", R"("\\[key]")"},
      {"after a single backslash, in plain text", R"(\sk-0f9b3c7d5a1e8462/x)", R"(\[key])"},
      {"in an escape that is escaped: JSON in a string of JSON",
       R"("{\"said\":\"\\u0073k-0f9b3c7d5a1e8462\\/x\"}")", R"("{\"said\":\"[key]\"}")"},
      {"percent-encoded", "/v1?key=sk-0f9b3c7d5a1e8462%2fx&a=b", "/v1?key=[key]&a=b"},
      {"completely percent-encoded",
       "%73%6B%2D%30%66%39%62%33%63%37%64%35%61%31%65%38%34%36%32%2F%78", "[key]"},
      {"percent-encoded twice", "sk-0f9b3c7d5a1e8462%252Fx", "[key]"},
      {"in base64", "c2stMGY5YjNjN2Q1YTFlODQ2Mi94", "[key]"},
      {"in base64, after another byte", "OnNrLTBmOWIzYzdkNWExZTg0NjIveA==", "On[key]"},
      {"in base64, after two bytes", "IDpzay0wZjliM2M3ZDVhMWU4NDYyL3g=", "IDp[key]"},
      {"in the base64 of JSON", R"("eyJrZXkiOiJzay0wZjliM2M3ZDVhMWU4NDYyL3gifQ==")",
       R"("eyJrZXkiOiJ[key]ifQ==")"},
      {"at the end of a text that was cut", "the key is sk-0f9b3c7d5", "the key is [key]"},
      {"cut in the middle", "the key sk-0f9b3c7d5... is bad", "the key [key]... is bad"},
      {"in a longer word", "xsk-0f9b3c7d5a1e8462/xyz", "x[key]yz"},
      {"cut", "the key sk-0f9b3c7d5…", "the key [key]…"},
      {"cut after too few characters", "the key sk-0f9b…", "the key sk-0f9b…"},
      {"another key", "sk-0f9b3c7d5a1e8463/x", "sk-0f9b3c7d5a1e8463/x"},
      {"nothing", "", ""},
  };
  for (const auto& row : rows) EXPECT_EQ(redacted(row.text, with_key(key)), row.shown) << row.what;
}

// The providers' documentation is full of such beginnings, and so are replies about it.
TEST(secrets, what_all_keys_of_a_provider_begin_with_is_not_a_secret) {
  const std::string token =
      "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJncm91cCI6InQzc3QiLCJuYW1lIjoidDNzdCJ9.dDNzdC1zaWc";
  const struct {
    std::string word;
    const char* text;
    const char* shown;
  } rows[] = {
      {"sk-proj-T3stKey0aB1cD2eF3gH4iJ5", "OPENAI_API_KEY=sk-proj-... # or sk-proj-…",
       "OPENAI_API_KEY=sk-proj-... # or sk-proj-…"},
      {"sk-proj-T3stKey0aB1cD2eF3gH4iJ5", "such keys begin with sk-proj-",
       "such keys begin with sk-proj-"},
      {"sk-proj-T3stKey0aB1cD2eF3gH4iJ5", "sk-proj-T3s... and sk-proj-T3stKe...",
       "sk-proj-T3s... and [key]..."},
      {"sk-proj-T3stKey0aB1cD2eF3gH4iJ5", "the key is sk-proj-T3stKe", "the key is [key]"},
      {"sk-or-v1-00c0ffee11c0ffee22c0ffee33", "sk-or-v1-..., sk-or-v1-00c0ff...",
       "sk-or-v1-..., [key]..."},
      {"sk-svcacct-T3stKey0aB1cD2eF3gH4iJ5", "sk-svcacct-... sk-svcacct-T3stKe...",
       "sk-svcacct-... [key]..."},
      {"sk-ant-api03-T3stKey0aB1cD2eF3gH4iJ5", "sk-ant-api03-... sk-ant-... sk-ant-api03-T3st...",
       "sk-ant-api03-... sk-ant-... [key]..."},
      {"github_pat_T3stKey0aB1cD2eF3gH4iJ5", "github_pat_... github_pat_T3stKe...",
       "github_pat_... [key]..."},
      {token, "Bearer eyJhbGciOiJIUzI1NiIs... or eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9...",
       "Bearer eyJhbGciOiJIUzI1NiIs... or eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9..."},
      {token, "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJncm91...", "Bearer [key]..."},
      // Much of the key itself, although its parts are joined by the same sign.
      {"sk-a1b2-c3d4-e5f6-g7h8", "sk-a1b2-c3d4...", "[key]..."},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(redacted(row.text, with_key(row.word)), row.shown) << row.text;
  }
}

TEST(secrets, json_stays_valid) {
  const std::string text = redacted(R"("\nok-0123456789abcdef")", with_key("nok-0123456789abcdef"));
  EXPECT_EQ(text, R"("\n[key]")");
  EXPECT_FALSE(json_fault(text));
}

TEST(secrets, a_short_key_is_found_as_a_separate_word) {
  const struct {
    const char* what;
    const char* word;
    const char* text;
    const char* shown;
  } rows[] = {
      {"what litellm is set up with", "sk-1234", "Authentication Error, key=sk-1234.",
       "Authentication Error, key=[key]."},
      {"alone in a string", "sk-1234", R"({"param":"sk-1234"})", R"({"param":"[key]"})"},
      {"as a member's name", "sk-1234", R"({"sk-1234":{"spend":1}})", R"({"[key]":{"spend":1}})"},
      {"after a line break", "sk-1234", R"("\nsk-1234\n")", R"("\n[key]\n")"},
      {"after an escaped blank", "sk-1234", "Bearer%20sk-1234%0a", "Bearer%20[key]%0a"},
      {"in a longer word", "sk-1234", "task-1234, desk-12345, sk-12345",
       "task-1234, desk-12345, sk-12345"},
      {"in base64", "sk-1234", "eyJrIjoic2stMTIzNCJ9", "eyJrIjoi[key]J9"},
      {"cut", "sk-1234", "key=sk-123…", "key=[key]…"},
      {"of letters and digits", "hunter2", "the password hunter2", "the password [key]"},
      {"only digits", "12345678901234567890", "bad key: 12345678901234567890!", "bad key: [key]!"},
      {"only digits, as the whole text", "123456", "123456", "[key]"},
      {"of a few digits", "123456", R"({"said":"no 123456"})", R"({"said":"no [key]"})"},
      {"a JSON number is not changed", "12345678", R"({"a":12345678,"b":[12345678, 12345678]})",
       R"({"a":12345678,"b":[12345678, 12345678]})"},
      {"part of a longer number", "12345678", "12345678.5 0.12345678 1-12345678 123456789",
       "12345678.5 0.12345678 1-12345678 123456789"},
      {"a number in a text that only looks like JSON", "12345678", "[proxy] code:12345678",
       "[proxy] code:[key]"},
  };
  for (const auto& row : rows)
    EXPECT_EQ(redacted(row.text, with_key(row.word)), row.shown) << row.what;
}

TEST(secrets, a_common_word_is_redacted_only_where_it_is_announced_as_a_key) {
  const struct {
    const char* word;
    const char* text;
    const char* shown;
  } rows[] = {
      {"any", "any text of any kind", "any text of any kind"},
      {"any", "Incorrect API key provided: any. You can find it",
       "Incorrect API key provided: [key]. You can find it"},
      {"any", R"({"Authorization":"Bearer any"})", R"({"Authorization":"Bearer [key]"})"},
      {"any", R"({"api_key": "any", "any": null})", R"({"api_key": "[key]", "any": null})"},
      {"any", R"("{\"token\":\"any\"}")", R"("{\"token\":\"[key]\"}")"},
      {"any", "/v1/models?api-key=any", "/v1/models?api-key=[key]"},
      {"1234", "key 1234, of 1234 tokens", "key [key], of 1234 tokens"},
      {"1234", R"({"token":1234})", R"({"token":1234})"},
      {"null", R"({"api_key":null})", R"({"api_key":null})"},
      {"1234", "无效的令牌 1234", "无效的令牌 [key]"},
      {"ollama", "ollama serves it", "ollama serves it"},
      {"sunshine", R"({"error":{"param":"sunshine","message":"no sunshine today"}})",
       R"({"error":{"param":"[key]","message":"no sunshine today"}})"},
      {"lm-studio", "lm-studio is a program; Bearer lm-studio",
       "lm-studio is a program; Bearer [key]"},
      {"choices", R"({"choices":[]})", R"({"choices":[]})"},
      {"ab", "key ab", "key ab"},
      {"", "key ", "key "},
  };
  for (const auto& row : rows) EXPECT_EQ(redacted(row.text, with_key(row.word)), row.shown);
}

TEST(secrets, a_key_that_is_split_over_tokens_is_found) {
  const struct {
    const char* what;
    const char* text;
    const char* shown;
  } rows[] = {
      {"of chat",
       R"({"logprobs":{"content":[{"token":"is ","logprob":-1,"bytes":[105,115,32],"top_logprobs":[]},)"
       R"({"token":"sk","logprob":-2.50,"bytes":[115,107],"top_logprobs":[{"token":"sk","logprob":-1}]},)"
       R"({"token":"-12","bytes":[45]},{"token":"34","bytes":null},{"token":"!","bytes":[33]}]}})",
       R"({"logprobs":{"content":[{"token":"is ","logprob":-1,"bytes":[105,115,32],"top_logprobs":[]},)"
       R"({"token":"[key]","logprob":-2.50,"bytes":null,"top_logprobs":[]},)"
       R"({"token":"","bytes":null},{"token":"","bytes":null},{"token":"!","bytes":[33]}]}})"},
      {"of completions",
       R"({"logprobs":{"tokens":["is"," sk","-1","234","!"],"token_logprobs":[-1,-2,-3,-4,-5]}})",
       R"({"logprobs":{"tokens":["is"," [key]","","","!"],"token_logprobs":[-1,-2,-3,-4,-5]}})"},
      {"of reasoning in pieces",
       R"({"reasoning_details":[{"text":"it is sk-"},{"text":"1234, so"}]})",
       R"({"reasoning_details":[{"text":"it is [key]"},{"text":", so"}]})"},
      {"other tokens", R"({"tokens":["task","-1","234"]})", R"({"tokens":["task","-1","234"]})"},
  };
  for (const auto& row : rows) {
    const std::string text = redacted(row.text, with_key("sk-1234"));
    EXPECT_EQ(text, row.shown) << row.what;
    EXPECT_FALSE(json_fault(text)) << row.what;
  }
}

TEST(secrets, random_json_stays_valid) {
  std::minstd_rand dice(7);
  const auto pick = [&](const std::vector<std::string>& of) { return of[dice() % of.size()]; };
  for (const char* word :
       {"sk-0f9b3c7d5a1e8462/x", "sk-1234", "nok-12", "12345678", "n\"u\\ll77"}) {
    const std::string whole = word;
    const std::vector<std::string> parts{whole,
                                         whole.substr(0, 3),
                                         whole.substr(3),
                                         "\n",
                                         "\\",
                                         "\"",
                                         " ",
                                         "key=",
                                         "u005c",
                                         "%2f",
                                         "…",
                                         "n"};
    for (int round = 0; round < 3000; ++round) {
      const auto text = [&] {
        std::string some;
        for (unsigned i = 0; i < dice() % 6; ++i) some += pick(parts);
        return json_quote(some);
      };
      std::string json = R"({"token":)" + text() + R"(,"bytes":[12345678],"b":[{"token":)" +
                         text() + R"(},{"token":)" + text() + R"(}],"c":)" + json_quote(text()) +
                         "}";
      const std::string before = json;
      secrets(with_key(whole)).redact(json);
      ASSERT_FALSE(json_fault(json)) << before << " became " << json;
    }
  }
}

TEST(secrets, the_password_of_a_proxy_is_a_secret) {
  relay_options relay;
  relay.proxy = "http://me:hunter%402@proxy.example:3128";
  EXPECT_EQ(
      redacted("407 no me:hunter@2, nor hunter@2, nor hunter%402, nor Basic bWU6aHVudGVyQDI=, me",
               relay),
      "407 no [key], nor [key], nor [key], nor Basic [key], me");
  relay.proxy = "http://token-1@proxy.example:3128";
  EXPECT_EQ(redacted("no token-1", relay), "no [key]");
}

TEST(secrets, secret_headers_are_recognized_by_their_names) {
  relay_options relay;
  relay.headers = {{"Authorization", "Bearer header-0123456789 "},
                   {"X-Api-Key", "x-key-0123456789abc"},
                   {"X-Team", "the-blue-team-of-all"}};
  EXPECT_EQ(redacted("header-0123456789, x-key-0123456789abc, the-blue-team-of-all", relay),
            "[key], [key], the-blue-team-of-all");
}

TEST(secrets, secret_headers_are_recognized_by_their_values) {
  relay_options relay;
  relay.headers = {{"X-Upstream", "Bearer header-0123456789"},
                   {"X-Other", "sk-0123456789abcdef"},
                   {"X-Author", "the-author-of-it-all"}};
  EXPECT_EQ(redacted("header-0123456789, sk-0123456789abcdef, the-author-of-it-all", relay),
            "[key], [key], the-author-of-it-all");
}

TEST(secrets, secret_names_are_distinguished_from_similar_words) {
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

TEST(secrets, a_parameter_of_the_address_may_be_a_secret) {
  relay_options relay;
  relay.base_url = "https://host/x?api-version=2024-06-01-preview&api-key=0123456789abcdef-x#";
  EXPECT_EQ(redacted("2024-06-01-preview 0123456789abcdef-x", relay), "2024-06-01-preview [key]");
}

TEST(secrets, every_long_cookie_is_a_secret) {
  relay_options relay;
  relay.headers = {
      {"Cookie", "session=session-0123456789; theme=dark;csrf=\"csrf-0123456789ab==\" ;"}};
  EXPECT_EQ(redacted("session-0123456789, dark, csrf-0123456789ab==, session", relay),
            "[key], dark, [key], session");
}

TEST(secrets, if_one_secret_begins_with_another_the_longer_one_is_redacted_whole) {
  relay_options relay = with_key("sk-0123456789abcdef");
  relay.headers = {{"Authorization", "Bearer sk-0123456789abcdef-admin"}};
  EXPECT_EQ(redacted("sk-0123456789abcdef-admin", relay), "[key]");
}

}  // namespace
}  // namespace sluice
