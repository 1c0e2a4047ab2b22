#include "cli/settings/run_settings.hpp"

#include <gmock/gmock.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>

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

TEST(run_settings, a_command_may_have_some_of_the_flags_and_every_config_key) {
  run_settings chosen;
  const auto all = run_flags(chosen);
  const auto some = run_flags(chosen, {"base-url", "quiet"});
  ASSERT_EQ(some.size(), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(some[i].on_line, some[i].name == "base-url" || some[i].name == "quiet" ||
                                   some[i].name == "config" || some[i].name == "profile")
        << some[i].name;
    EXPECT_EQ(some[i].in_config, all[i].in_config) << some[i].name;
    EXPECT_EQ(some[i].environment, all[i].environment) << some[i].name;
  }
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
                                                                {"--max-tokens", "0"},
                                                                {"--max-response-bytes", "0"},
                                                                {"--max-line-bytes", "0"},
                                                                {"--assume-max-tokens", "0"},
                                                                {"--until", "6am"},
                                                                {"--deadline", "0s"},
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

run_settings from_config(const std::string& toml) {
  const test::temp_dir dir;
  run_settings chosen;
  settings(run_flags(chosen), run_tables(chosen))
      .apply(find_config(dir.write("sluice.toml", toml)));
  read_pool_keys(chosen);
  return chosen;
}

TEST(run_settings, a_header_of_a_stronger_source_replaces_those_of_its_name) {
  const test::temp_dir dir;
  const std::string config =
      "header = [\"X-Team: blue\", \"X-Note: a\", \"X-Note: b\", \"X-Id: 1\"]\n"
      "[profile.night]\n"
      "header = \"x-note: night\"\n";
  run_settings chosen;
  settings flags(run_flags(chosen));
  CLI::App app;
  flags.add_to(app);
  app.parse("--header 'X-TEAM: red' --header 'X-Team: green'");
  flags.apply(find_config(dir.write("sluice.toml", config)), "night");
  using header = std::pair<std::string, std::string>;
  EXPECT_THAT(chosen.engine.relay.headers,
              testing::ElementsAre(header("X-Id", "1"), header("x-note", "night"),
                                   header("X-TEAM", "red"), header("X-Team", "green")));
}

TEST(run_settings, a_pool_stands_in_the_config_file) {
  const test::temp_dir dir;
  ::setenv("SLUICE_TEST_KEY", "sk-from-the-environment", 1);
  const auto chosen = from_config(R"(
rpm = 100
[[relay]]
name = "blue"
base_url = "https://blue.example/v1"
api_key_env = "SLUICE_TEST_KEY"
rpm = 60
weight = 2
price_multiplier = 0.8
models = { "gpt-4" = "gpt-4-0613", "gpt.4o" = "x" }
[[relay]]
name = "green"
base_url = "https://green.example"
api_key_file = ")" + dir.write("key", "sk-from-a-file\n") +
                                  "\"\n");
  ::unsetenv("SLUICE_TEST_KEY");
  EXPECT_EQ(chosen.engine.pace.requests_per_minute, 100U);
  ASSERT_EQ(chosen.engine.pool.size(), 2U);
  const auto& blue = chosen.engine.pool[0];
  EXPECT_EQ(blue.name, "blue");
  EXPECT_EQ(blue.relay.base_url, "https://blue.example/v1");
  EXPECT_EQ(blue.relay.api_key, "sk-from-the-environment");
  EXPECT_EQ(blue.requests_per_minute, 60U);
  EXPECT_EQ(blue.weight, 2U);
  EXPECT_EQ(blue.price_multiplier, "0.8");
  EXPECT_EQ(blue.models.at("gpt-4"), "gpt-4-0613");
  EXPECT_EQ(blue.models.at("gpt.4o"), "x");
  const auto& green = chosen.engine.pool[1];
  EXPECT_EQ(green.relay.api_key, "sk-from-a-file");
  EXPECT_FALSE(green.requests_per_minute.has_value());
  EXPECT_EQ(green.weight, 1U);
  EXPECT_FALSE(green.price_multiplier.has_value());
}

// The settings as a command reads them, from the config file, the command line and OPENAI_BASE_URL.
run_settings read(const std::string& toml, std::vector<std::string> line, const char* address) {
  const test::temp_dir dir;
  if (address != nullptr) ::setenv("OPENAI_BASE_URL", address, 1);
  run_settings chosen;
  CLI::App app;
  settings flags(run_flags(chosen), run_tables(chosen));
  flags.add_to(app);
  line.insert(line.end(), {"--config", dir.write("sluice.toml", toml)});
  std::reverse(line.begin(), line.end());
  app.parse(line);
  read_settings(flags, chosen);
  ::unsetenv("OPENAI_BASE_URL");
  return chosen;
}

constexpr const char* pool_and_profiles = R"(
[[relay]]
name = "blue"
base_url = "https://blue.example"
[profile.night]
base-url = "https://night.example"
rpm = 20
[profile.blue]
relay = "blue"
until = "06:00"
)";

TEST(run_settings, of_two_settings_that_name_relays_the_run_says_which_one_won) {
  using testing::ElementsAre;
  using testing::HasSubstr;
  using testing::IsEmpty;
  const char* variable = "https://variable.example";
  auto chosen = read(pool_and_profiles, {}, nullptr);
  EXPECT_EQ(chosen.engine.pool.size(), 1U);
  EXPECT_THAT(chosen.overruled, IsEmpty());

  chosen = read(pool_and_profiles, {}, variable);
  EXPECT_EQ(chosen.engine.pool.size(), 1U);
  EXPECT_THAT(chosen.overruled,
              ElementsAre(HasSubstr("sluice.toml are used, not OPENAI_BASE_URL: a pool has "
                                    "addresses of its own; give --base-url")));

  chosen = read(pool_and_profiles, {"--base-url", "https://flag.example"}, variable);
  EXPECT_THAT(chosen.engine.pool, IsEmpty());
  EXPECT_EQ(chosen.engine.relay.base_url, "https://flag.example");
  EXPECT_THAT(chosen.overruled, IsEmpty());

  chosen = read(pool_and_profiles, {"--profile", "night"}, variable);
  EXPECT_THAT(chosen.engine.pool, IsEmpty());
  EXPECT_EQ(chosen.engine.relay.base_url, "https://night.example");
  EXPECT_EQ(chosen.engine.pace.requests_per_minute, 20U);
  EXPECT_THAT(chosen.overruled,
              ElementsAre(HasSubstr("base-url of the profile night is used, not OPENAI_BASE_URL")));

  chosen = read(pool_and_profiles, {"--profile", "night", "--rpm", "7"}, nullptr);
  EXPECT_EQ(chosen.engine.pace.requests_per_minute, 7U);
  EXPECT_THAT(chosen.overruled, IsEmpty());
}

TEST(run_settings, a_profile_may_name_a_relay_of_the_pool) {
  auto chosen = read(pool_and_profiles, {"--profile", "blue"}, nullptr);
  EXPECT_EQ(chosen.only_relay, "blue");
  ASSERT_TRUE(chosen.closing.until);
  EXPECT_EQ(chosen.closing.until->hour, 6);
  chosen =
      read(pool_and_profiles, {"--profile", "blue", "--base-url", "https://x.example"}, nullptr);
  EXPECT_EQ(chosen.only_relay, "") << "the address on the line wins";
}

TEST(run_settings, a_pool_that_cannot_be_read_is_refused_by_its_key) {
  for (const auto& [toml, told] : std::vector<std::pair<std::string, std::string>>{
           {"relay = 3", "[[relay]]"},
           {"relay = [1, 2]", "[[relay]]"},
           {"[relay]\nname = \"a\"", "[[relay]]"},
           {"[[relay]]\nbase-url = \"x\"", "did you mean 'base_url'"},
           {"[[relay]]\nmodels = \"gpt-4\"", "models"},
           {"[[relay]]\nmodels = { \"gpt-4\" = 4 }", "gpt-4"},
           {"[[relay]]\nweight = -1", "weight"},
           {"[[relay]]\nrpm = \"many\"", "rpm"},
           {"[[relay]]\napi_key = \"sk-1234567890123456\"", "api_key"},
           {"[[relay]]\napi_key_env = \"SLUICE_TEST_NO_SUCH_KEY\"", "SLUICE_TEST_NO_SUCH_KEY"},
           {"[[relay]]\napi_key_env = \"sk-1234567890123456\"", "not the name of a variable"},
           {"[[relay]]\napi_key_file = \"/nowhere\"", "api_key_file"}}) {
    try {
      from_config(toml);
      ADD_FAILURE() << toml;
    } catch (const fatal_error& fault) {
      EXPECT_THAT(fault.what(), testing::HasSubstr(told)) << toml;
      EXPECT_THAT(fault.what(), testing::Not(testing::HasSubstr("sk-1234567890123456")));
    }
  }
}

}  // namespace
}  // namespace sluice::cli
