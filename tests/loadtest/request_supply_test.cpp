#include "loadtest/request_supply.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "sluice/error.hpp"
#include "support/temp_dir.hpp"
#include "tokens/prompt_tokens.hpp"

namespace sluice::bench {
namespace {

using sluice::test::temp_dir;

std::uint64_t counted(const request& asked) {
  return prompt_tokens(asked.target, asked.model, asked.body).tokens;
}

TEST(synthetic_supply, has_prompts_of_the_length_asked_for) {
  if (tokenizer::of(vocabulary::o200k_base) == nullptr) GTEST_SKIP() << "no vocabularies";
  for (const char* model : {"gpt-4o-mini", "gpt-4", "gpt-3.5-turbo", "o3-mini"}) {
    for (const std::uint64_t tokens : {20U, 64U, 1000U, 20'000U}) {
      synthetic_supply supply({model, tokens, 64, 1}, job_options{});
      EXPECT_EQ(supply.prompt_tokens(), tokens);
      for (int i = 0; i < 3; ++i) EXPECT_EQ(counted(supply.next()), tokens) << model;
    }
  }
}

TEST(synthetic_supply, says_the_nearest_where_a_prompt_cannot_be_so_short) {
  synthetic_supply supply({"gpt-4o-mini", 1, 64, 1}, job_options{});
  EXPECT_EQ(supply.prompt_tokens(), counted(supply.next()));
}

TEST(synthetic_supply, never_begins_alike_and_is_the_same_for_a_seed) {
  synthetic_supply supply({"gpt-4o-mini", 64, 64, 3}, job_options{});
  synthetic_supply same({"gpt-4o-mini", 64, 64, 3}, job_options{});
  std::set<std::string> beginnings;
  constexpr std::size_t beginning = 30;
  for (int i = 0; i < 1000; ++i) {
    const request one = supply.next();
    EXPECT_EQ(one.body, same.next().body);
    const auto body = nlohmann::json::parse(one.body);
    beginnings.insert(body["messages"][0]["content"].get<std::string>().substr(0, beginning));
  }
  EXPECT_GT(beginnings.size(), 990U);
}

TEST(synthetic_supply, asks_as_the_model_wants_to_be_asked) {
  synthetic_supply chat({"gpt-4o-mini", 64, 99, 1}, job_options{});
  const request asked = chat.next();
  EXPECT_TRUE(asked.streamed);
  EXPECT_EQ(asked.target, endpoint::chat_completions);
  const auto body = nlohmann::json::parse(asked.body);
  EXPECT_EQ(body["max_tokens"], 99);
  EXPECT_EQ(body["stream_options"]["include_usage"], true);

  synthetic_supply thinking({"o3-mini", 64, 99, 1}, job_options{});
  EXPECT_EQ(nlohmann::json::parse(thinking.next().body)["max_completion_tokens"], 99);

  job_options whole;
  whole.stream = false;
  synthetic_supply unstreamed({"gpt-4o-mini", 64, 99, 1}, whole);
  EXPECT_FALSE(unstreamed.next().streamed);
}

struct JobSupply : testing::Test {
  std::string write(const std::string& lines) {
    const auto path = folder.path() + "/job.jsonl";
    std::ofstream(path) << lines;
    return path;
  }
  temp_dir folder;
};

TEST_F(JobSupply, gives_the_jobs_requests_again_and_again) {
  const auto path = write("{\"prompt\":\"a\"}\n{\"custom_id\":\"b\",\"prompt\":\"b\"}\n");
  job_options lines;
  lines.model = "gpt-4o-mini";
  job_supply supply({path}, lines);
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(supply.next().custom_id);
  EXPECT_THAT(ids, testing::ElementsAre("line-1", "b", "line-1", "b", "line-1"));
}

TEST_F(JobSupply, refuses_what_it_cannot_send) {
  const auto says = [&](const std::vector<std::string>& paths) -> std::string {
    try {
      job_supply(paths, job_options{});
    } catch (const fatal_error& fault) {
      return fault.what();
    }
    return {};
  };
  EXPECT_THAT(says({write("{\"model\":\"m\",\"prompt\":\"a\"}\nnot json\n")}),
              testing::HasSubstr("line 2"));
  EXPECT_THAT(says({write("\n")}), testing::HasSubstr("holds no request"));
  EXPECT_THAT(says({"-"}), testing::HasSubstr("name a file"));
  EXPECT_THAT(says({"/nowhere.jsonl"}), testing::HasSubstr("/nowhere.jsonl"));
}

}  // namespace
}  // namespace sluice::bench
