#include "cli/run_settings.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "sluice/error.hpp"
#include "support/temp_dir.hpp"

namespace sluice::cli {
namespace {

using namespace std::chrono_literals;

run_settings told(std::vector<std::string> line) {
  run_settings chosen;
  CLI::App app;
  settings flags(run_flags(chosen));
  flags.add_to(app);
  std::reverse(line.begin(), line.end());
  app.parse(line);
  flags.apply(std::nullopt);
  return chosen;
}

TEST(run_settings, flags_reach_what_they_name) {
  const auto chosen = told({"--rpm",
                            "7",
                            "--concurrency",
                            "3",
                            "--pace",
                            "even",
                            "--window-margin",
                            "2s",
                            "--max-attempts",
                            "9",
                            "--timeout",
                            "1h",
                            "--model",
                            "m",
                            "--override-model",
                            "--system",
                            "be brief",
                            "--endpoint",
                            "completions",
                            "--no-stream",
                            "--limit",
                            "12",
                            "--durability",
                            "each",
                            "--header",
                            "X-Team: blue",
                            "--header",
                            "Y:z",
                            "--output-dir",
                            "out",
                            "--strict",
                            "--retry-failed",
                            "--price-multiplier",
                            "0.8",
                            "--grace",
                            "5s",
                            "-q",
                            "-o",
                            "o.jsonl",
                            "--base-url",
                            "https://h/v1",
                            "--seed",
                            "4"});
  EXPECT_EQ(chosen.engine.pace.requests_per_minute, 7U);
  EXPECT_EQ(chosen.engine.pace.concurrency, 3U);
  EXPECT_EQ(chosen.engine.pace.pace, pacing::even);
  EXPECT_EQ(chosen.engine.pace.window_margin, 2s);
  EXPECT_EQ(chosen.engine.pace.max_attempts, 9U);
  EXPECT_EQ(chosen.engine.pace.seed, 4U);
  EXPECT_EQ(chosen.engine.relay.total_timeout, 1h);
  EXPECT_EQ(chosen.engine.relay.base_url, "https://h/v1");
  EXPECT_THAT(chosen.engine.relay.headers,
              testing::ElementsAre(testing::Pair("X-Team", "blue"), testing::Pair("Y", "z")));
  EXPECT_EQ(chosen.engine.job.model, "m");
  EXPECT_TRUE(chosen.engine.job.override_model);
  EXPECT_EQ(chosen.engine.job.system, "be brief");
  EXPECT_EQ(chosen.engine.job.target, endpoint::completions);
  EXPECT_FALSE(chosen.engine.job.stream);
  EXPECT_TRUE(chosen.engine.job.include_usage);
  EXPECT_EQ(chosen.engine.job.limit, 12U);
  EXPECT_TRUE(chosen.engine.job.strict);
  EXPECT_EQ(chosen.engine.output.durable, durability::each);
  EXPECT_EQ(chosen.engine.output.directory, "out");
  EXPECT_EQ(chosen.engine.output.output_file, "o.jsonl");
  EXPECT_TRUE(chosen.engine.output.retry_failed);
  EXPECT_EQ(chosen.engine.price_multiplier, "0.8");
  EXPECT_EQ(chosen.grace, 5s);
  EXPECT_TRUE(chosen.quiet);
  EXPECT_FALSE(chosen.simulate);
}

TEST(run_settings, an_endpoint_has_several_spellings) {
  for (const char* text : {"/v1/chat/completions", "v1/chat/completions", "chat/completions"}) {
    EXPECT_EQ(told({"--endpoint", text}).engine.job.target, endpoint::chat_completions) << text;
  }
  EXPECT_EQ(told({"--endpoint", "embeddings"}).engine.job.target, endpoint::embeddings);
  EXPECT_EQ(told({"--endpoint", "/v1/responses"}).engine.job.target, endpoint::responses);
}

TEST(run_settings, values_that_cannot_be_used) {
  for (const auto& line : std::vector<std::vector<std::string>>{{"--rpm", "many"},
                                                                {"--rpm", "-1"},
                                                                {"--pace", "fast"},
                                                                {"--timeout", "10"},
                                                                {"--header", "none"},
                                                                {"--header", ": x"},
                                                                {"--endpoint", "images"},
                                                                {"--durability", "often"},
                                                                {"--api-key-file", "/nowhere"}}) {
    try {
      told(line);
      ADD_FAILURE() << line[0] << ' ' << line[1];
    } catch (const fatal_error& fault) {
      EXPECT_THAT(fault.what(), testing::HasSubstr(line[0]));
    }
  }
}

TEST(run_settings, the_key_comes_from_a_file_and_never_from_a_flag) {
  const test::temp_dir dir;
  EXPECT_EQ(
      told({"--api-key-file", dir.write("key", "sk-1 \r\nsecond line\n")}).engine.relay.api_key,
      "sk-1");
  EXPECT_EQ(told({"--api-key-file", dir.write("key", "sk-2")}).engine.relay.api_key, "sk-2");
  EXPECT_THROW(told({"--api-key-file", dir.write("key", "\nsk-3\n")}), fatal_error);
  EXPECT_THROW(told({"--api-key", "sk-4"}), CLI::ParseError);
}

TEST(run_settings, every_flag_is_described_and_named_once) {
  run_settings chosen;
  std::set<std::string> names;
  std::set<char> letters;
  for (const auto& flag : run_flags(chosen)) {
    EXPECT_TRUE(names.insert(flag.name).second) << flag.name;
    EXPECT_TRUE(flag.letter == 0 || letters.insert(flag.letter).second) << flag.name;
    EXPECT_EQ(flag.on_line, !flag.help.empty() && !flag.group.empty()) << flag.name;
    EXPECT_TRUE(flag.apply) << flag.name;
  }
}

}  // namespace
}  // namespace sluice::cli
