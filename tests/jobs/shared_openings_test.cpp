#include "jobs/shared_openings.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "tokens/prompt_tokens.hpp"

namespace sluice {
namespace {

using nlohmann::json;

// Text with about one token for each word.
std::string words(std::size_t count, unsigned seed = 1) {
  static const char* const all[] = {"apple", "river", "stone", "cloud", "green", "seven"};
  std::mt19937 random(seed);
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += std::string(all[random() % 6]) + " ";
  return text;
}

json system_and_user(const std::string& system, const std::string& user) {
  return {{"messages",
           {{{"role", "system"}, {"content", system}}, {{"role", "user"}, {"content", user}}}}};
}

request asking(const json& body, const std::string& model = "gpt-4o",
               endpoint target = endpoint::chat_completions) {
  request made;
  made.target = target;
  made.model = model;
  made.body = body.dump();
  return made;
}

request chat(const std::string& system, const std::string& user) {
  return asking(system_and_user(system, user));
}

// The number of prompt tokens that the second request shares with the first. The first request has
// ended before the second starts.
std::int64_t repeated(const request& first, const request& second) {
  shared_openings openings;
  const auto one = openings.add(first);
  const auto other = openings.add(second);
  openings.add_reply(one, "", 0, 10);
  return openings.add_reply(other, "", 10, 20).tokens;
}

TEST(shared_openings, are_found_nearly_at_their_whole_length) {
  for (const std::size_t count : {1300, 2000, 5000, 20'000, 100'000}) {
    const std::string system = words(count);
    const std::int64_t found = repeated(chat(system, "one"), chat(system, "two"));
    const auto tokens = static_cast<std::int64_t>(completion_tokens("gpt-4o", system).tokens);
    EXPECT_LE(found, tokens + 5) << "the role is a part of the prompt";
    EXPECT_GE(found, tokens * 4 / 5 - 5);
  }
}

TEST(shared_openings, shorter_than_1024_tokens_are_none) {
  const std::string system = words(1000);
  EXPECT_EQ(repeated(chat(system, "one"), chat(system, "two")), 0);
  const std::string spaces(8000, ' ');  // many bytes, but few tokens
  EXPECT_EQ(repeated(chat(spaces, "one"), chat(spaces, "two")), 0);
  EXPECT_EQ(repeated(chat(words(3000, 1), ""), chat(words(3000, 2), "")), 0);
}

TEST(shared_openings, of_any_kind_of_prompt) {
  const std::string text = words(3000);
  const json parts = {{"role", "user"},
                      {"content", {{{"type", "text"}, {"text", text}, {"cache_control", 1}}}}};
  const struct {
    const char* what;
    endpoint target;
    json first;
    json second;
    bool alike;
  } rows[] = {
      {"a prompt", endpoint::completions, {{"prompt", text + "1"}}, {{"prompt", text + "2"}}, true},
      {"a list of prompts",
       endpoint::completions,
       {{"prompt", {text}}},
       {{"prompt", {text}}},
       false},
      {"instructions",
       endpoint::responses,
       {{"instructions", text}, {"input", "1"}},
       {{"instructions", text}, {"input", "2"}},
       true},
      {"the input of a response",
       endpoint::responses,
       {{"input", {parts}}},
       {{"input", {parts, parts}}},
       true},
      {"parts", endpoint::chat_completions, {{"messages", {parts}}}, {{"messages", {parts}}}, true},
      {"an embedding", endpoint::embeddings, {{"input", text}}, {{"input", text}}, false},
      {"other tools",
       endpoint::chat_completions,
       {{"tools", {1}}, {"messages", {parts}}},
       {{"tools", {2}}, {"messages", {parts}}},
       false},
      {"the same tools",
       endpoint::chat_completions,
       {{"tools", {1}}, {"messages", {parts}}},
       {{"tools", {1}}, {"messages", {parts}}},
       true},
      {"another role",
       endpoint::chat_completions,
       system_and_user(text, ""),
       {{"messages", {{{"role", "user"}, {"content", text}}}}},
       false},
  };
  for (const auto& row : rows) {
    const std::int64_t tokens =
        repeated(asking(row.first, "gpt-4o", row.target), asking(row.second, "gpt-4o", row.target));
    EXPECT_EQ(tokens > 0, row.alike) << row.what;
  }
  EXPECT_EQ(repeated(asking(system_and_user(text, ""), "gpt-4o"),
                     asking(system_and_user(text, ""), "gpt-4")),
            0)
      << "another model";
}

TEST(shared_openings, end_at_the_first_thing_that_is_not_text) {
  const auto with_image = [](const std::string& before, const std::string& behind) {
    return asking({{"messages",
                    {{{"role", "user"},
                      {"content",
                       {{{"type", "text"}, {"text", before}},
                        {{"type", "image_url"}, {"image_url", {{"url", "data:,"}}}},
                        {{"type", "text"}, {"text", behind}}}}}}}});
  };
  const std::string text = words(3000);
  EXPECT_EQ(repeated(with_image("", text), with_image("", text)), 0);
  EXPECT_GT(repeated(with_image(text, "1"), with_image(text, "2")), 2000);
}

TEST(shared_openings, could_be_read_only_after_another_reply_and_not_too_late) {
  const std::string system = words(3000);
  shared_openings openings;
  std::vector<shared_openings::id> ids;
  for (int i = 0; i < 8; ++i) ids.push_back(openings.add(chat(system, std::to_string(i))));
  auto add = [&, i = std::size_t{0}](double started, double ended,
                                     std::string_view relay = "") mutable {
    return openings.add_reply(ids.at(i++), relay, started, ended).tokens > 0;
  };
  EXPECT_FALSE(add(0, 10)) << "the first one";
  EXPECT_FALSE(add(9.9, 12)) << "began before one had ended";
  EXPECT_TRUE(add(10, 13));
  EXPECT_FALSE(add(10, 14, "green")) << "another relay has another cache";
  EXPECT_TRUE(add(312, 320)) << "five minutes after the end of the second one";
  EXPECT_FALSE(add(620.1, 630)) << "later than that";
  EXPECT_FALSE(add(629, 640)) << "the opening was forgotten until 630";
  EXPECT_TRUE(add(640, 650));
}

TEST(shared_openings, the_longest_that_could_be_read_counts) {
  const std::string system = words(1500);
  const std::string document = words(6000, 7);
  shared_openings openings;
  const auto alone = openings.add(chat(system, "something else"));
  const auto first = openings.add(chat(system, document + "1"));
  const auto second = openings.add(chat(system, document + "2"));
  openings.add_reply(alone, "", 0, 10);
  const auto shorter = openings.add_reply(first, "", 10, 20);
  EXPECT_GT(shorter.tokens, 1024);
  EXPECT_LT(shorter.tokens, 1600) << "the document was not in the cache";
  const auto longer = openings.add_reply(second, "", 20, 30);
  EXPECT_GT(longer.tokens, 6000);
  EXPECT_EQ(longer.shortest, shorter.shortest) << "one group";
}

TEST(shared_openings, a_prompt_that_only_one_request_has_is_none) {
  shared_openings openings;
  const auto one = openings.add(chat(words(3000), "one"));
  openings.add_reply(one, "", 0, 10);
  EXPECT_EQ(openings.add_reply(one, "", 10, 20).tokens, 0) << "a line that stands there twice";
}

TEST(shared_openings, no_more_than_the_most_are_kept) {
  shared_openings openings(3);
  const std::string system = words(3000);
  const auto one = openings.add(chat(system, "1"));
  const auto other = openings.add(chat(system, "2"));
  EXPECT_EQ(one, other);
  EXPECT_EQ(openings.add(chat(words(3000, 2), "")), 0U) << "there is no room";
  EXPECT_EQ(openings.add(chat(system, "3")), one);
}

TEST(shared_openings, any_bytes_are_a_request) {
  request odd = chat("", "");
  shared_openings openings;
  for (const std::string& body :
       {std::string(), std::string("[]"), std::string(R"({"messages":3})"),
        std::string(R"({"messages":[3,null,{"role":4,"content":[[],{"type":"text"}]}]})")}) {
    odd.body = body;
    EXPECT_EQ(openings.add(odd), 0U) << body;
  }
  EXPECT_EQ(openings.add_reply(0, "", 0, 1).tokens, 0);
}

}  // namespace
}  // namespace sluice
